// The pages and their addresses. What a page shows stands in its address's parameters, as plain text.
import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  useNavigate,
  useSearch,
} from "@tanstack/react-router";
import { useCallback } from "react";
import { Crash } from "./ui/crash";
import { Shell } from "./ui/shell";

export type Query = Record<string, string>;

const root = createRootRoute({
  component: Shell,
  notFoundComponent: lazyRouteComponent(() => import("./pages/missing"), "Missing"),
});
const page = <P extends string>(path: P, component: ReturnType<typeof lazyRouteComponent>) =>
  createRoute({
    getParentRoute: () => root,
    path,
    component,
    validateSearch: (search: Query): Query => search,
  });

const tree = root.addChildren([
  page(
    "/",
    lazyRouteComponent(() => import("./pages/overview"), "Overview"),
  ),
  page(
    "/topics",
    lazyRouteComponent(() => import("./pages/topics"), "Topics"),
  ),
  page(
    "/topics/$topic",
    lazyRouteComponent(() => import("./pages/topic"), "Topic"),
  ),
  page(
    "/groups",
    lazyRouteComponent(() => import("./pages/groups"), "Groups"),
  ),
  page(
    "/groups/$group",
    lazyRouteComponent(() => import("./pages/group"), "Group"),
  ),
  page(
    "/cluster",
    lazyRouteComponent(() => import("./pages/cluster"), "ClusterPage"),
  ),
  page(
    "/live",
    lazyRouteComponent(() => import("./pages/live"), "LivePage"),
  ),
  page(
    "/alerts",
    lazyRouteComponent(() => import("./pages/alerts"), "Alerts"),
  ),
]);

export const router = createRouter({
  routeTree: tree,
  defaultPreload: "intent",
  defaultErrorComponent: Crash,
  scrollRestoration: true,
  parseSearch: (text) => Object.fromEntries(new URLSearchParams(text)),
  stringifySearch: (search) => {
    const entries = Object.entries(search as Query).filter(
      ([, value]) => value !== undefined && value !== "",
    );
    const text = new URLSearchParams(entries).toString();
    return text ? `?${text}` : "";
  },
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}

export type Change = Record<string, string | number | boolean | null | undefined>;

/** The parameters of the address, and a function that changes some; `null` takes one away. */
export function useQueryState(): [Query, (change: Change, options?: { push?: boolean }) => void] {
  const search = useSearch({ strict: false }) as Query;
  const navigate = useNavigate();
  const set = useCallback(
    (change: Change, options: { push?: boolean } = {}) => {
      navigate({
        to: ".",
        replace: !options.push,
        resetScroll: false,
        search: ((previous: Query) => {
          const next: Query = { ...previous };
          for (const [name, value] of Object.entries(change)) {
            if (value === null || value === undefined || value === "" || value === false) delete next[name];
            else next[name] = String(value);
          }
          return next;
        }) as never,
      });
    },
    [navigate],
  );
  return [search, set];
}
