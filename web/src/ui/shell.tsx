// The frame around every page: navigation, search, live sign, language, theme, keys.
import { ActionIcon, Button, Kbd, Menu, Tooltip } from "@mantine/core";
import { useHotkeys, useMediaQuery } from "@mantine/hooks";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link as RouterLink, Outlet, useNavigate, useRouterState } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";
import type { AlertsTick, Info } from "../api/contract";
import { get } from "../api/http";
import { live, useLiveState, useStreamed } from "../api/live";
import { LOCALES, type Locale, useLanguage } from "../i18n";
import { prefer, usePreferences } from "../preferences";
import { Help } from "./help";
import {
  IconActivity,
  IconAlert,
  IconBell,
  IconClock,
  IconDevices,
  IconHelp,
  IconHome,
  IconLanguage,
  IconMenu,
  IconMoon,
  IconSearch,
  IconServer,
  IconSun,
  IconTopic,
  IconUsers,
} from "./icons";
import { Palette } from "./palette";

export const PAGES = [
  { to: "/", key: "o", label: "nav.overview", icon: IconHome },
  { to: "/topics", key: "t", label: "nav.topics", icon: IconTopic },
  { to: "/groups", key: "g", label: "nav.groups", icon: IconUsers },
  { to: "/cluster", key: "c", label: "nav.cluster", icon: IconServer },
  { to: "/live", key: "d", label: "nav.live", icon: IconActivity },
  { to: "/alerts", key: "a", label: "nav.alerts", icon: IconBell },
] as const;

export function useInfo() {
  return useQuery({
    queryKey: ["info"],
    queryFn: ({ signal }) => get<Info>("/info", {}, signal),
    staleTime: 60_000,
  });
}

/** How long `g` waits for the letter that follows it. */
const SECOND_KEY_MS = 1_200;

export function Logo(props: { size?: number }) {
  return (
    <svg width={props.size ?? 26} height={props.size ?? 26} viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="9" fill="#0b7285" />
      <g fill="none" stroke="#fff" strokeLinecap="round" strokeWidth="2.6">
        <path d="M6 8c5 0 6 8 11 8h9" />
        <path d="M6 16h11" opacity=".75" />
        <path d="M6 24c5 0 6-8 11-8" opacity=".55" />
      </g>
    </svg>
  );
}

export function Shell() {
  const language = useLanguage();
  const { t } = language;
  const { theme, locale, isUtc } = usePreferences();
  const info = useInfo().data;
  const navigate = useNavigate();
  const queries = useQueryClient();
  const liveState = useLiveState();
  const alerts = useStreamed<AlertsTick>({ kind: "alerts" });
  const [isPaletteOpen, setPaletteOpen] = useState(false);
  const [isHelpOpen, setHelpOpen] = useState(false);
  const [isMenuOpen, setMenuOpen] = useState(false);
  const isNarrow = useMediaQuery("(max-width: 1100px)") ?? false;
  const path = useRouterState({ select: (state) => state.location.pathname });
  const heading = useRef<HTMLElement>(null);
  const goesTo = useRef(0);

  // A page that opens takes the menu of small screens away.
  // biome-ignore lint/correctness/useExhaustiveDependencies: it is the path that matters
  useEffect(() => setMenuOpen(false), [path]);

  // After a connection came back, or to another process, everything on screen may be old.
  const { status, bootId } = liveState;
  const seen = useRef({ status, bootId });
  useEffect(() => {
    const before = seen.current;
    if (status === "live" && (before.status === "lost" || (before.bootId && before.bootId !== bootId))) {
      queries.invalidateQueries();
    }
    seen.current = { status, bootId };
  }, [status, bootId, queries]);

  const dark =
    theme === "dark" || (theme === "auto" && window.matchMedia("(prefers-color-scheme: dark)").matches);
  useHotkeys([
    ["mod+K", () => setPaletteOpen((isOpen) => !isOpen)],
    ["shift+?", () => setHelpOpen(true)],
    ["?", () => setHelpOpen(true)],
    [
      "/",
      () => {
        const field = document.querySelector<HTMLInputElement>("[data-filter]");
        if (field) field.focus();
        else setPaletteOpen(true);
      },
    ],
    ...["t", ...PAGES.map((page) => page.key).filter((key) => key !== "t")].map(
      (key): [string, () => void] => [
        key,
        () => {
          const page = PAGES.find((page) => page.key === key);
          const isSecond = Date.now() - goesTo.current < SECOND_KEY_MS;
          goesTo.current = key === "g" && !isSecond ? Date.now() : 0;
          if (isSecond && page) navigate({ to: page.to });
          else if (key === "t") prefer({ theme: dark ? "light" : "dark" });
        },
      ],
    ),
  ]);

  const firing = alerts?.rules.filter((rule) => rule.state === "firing" && !rule.silencedUntil).length ?? 0;
  return (
    <div className="shell" data-narrow={isNarrow || undefined}>
      <a className="skip" href="#content">
        {t("shell.skip")}
      </a>
      <div className="side" role="region" aria-label="Afluente" data-open={isMenuOpen || undefined}>
        <RouterLink to="/" className="brand" aria-label="Afluente">
          <Logo />
          <span className="label">Afluente</span>
        </RouterLink>
        <nav aria-label={t("nav.label")} style={{ display: "flex", flexDirection: "column", gap: 2 }}>
          {PAGES.map(({ to, label, icon: Icon, key }) => (
            <Tooltip key={to} label={`${t(label)} · g ${key}`} position="right" disabled={!isNarrow}>
              <RouterLink
                to={to}
                className="navlink"
                activeProps={{ className: "navlink active" }}
                activeOptions={{ exact: to === "/", includeSearch: false }}
                aria-label={isNarrow ? t(label) : undefined}
              >
                <Icon size={19} stroke={1.7} aria-hidden="true" />
                <span className="label">{t(label)}</span>
                {to === "/alerts" && firing > 0 && (
                  <span className="pill soft-bad count label" style={{ minHeight: 18, padding: "0 7px" }}>
                    {firing}
                  </span>
                )}
              </RouterLink>
            </Tooltip>
          ))}
        </nav>
        <div
          style={{
            marginTop: "auto",
            padding: "8px 10px",
            fontSize: "0.75rem",
            color: "var(--mantine-color-dimmed)",
          }}
        >
          {info && (
            <div className="label">
              <div className="mono" style={{ fontSize: "0.75rem" }}>
                {info.bootstrap[0]}
              </div>
              <div>
                {info.server === "afluente" ? `Afluente ${info.version}` : t("shell.otherServer")}
                {info.readOnly && ` · ${t("shell.readOnly")}`}
              </div>
            </div>
          )}
        </div>
      </div>
      <div className="main">
        {info?.environment && (
          <div
            className="environment"
            style={{ background: info.environment.color }}
            title={info.environment.name}
          />
        )}
        <div className="top" role="region" aria-label={t("shell.tools")}>
          <ActionIcon
            variant="subtle"
            color="gray"
            size="lg"
            aria-label={t("nav.label")}
            aria-expanded={isMenuOpen}
            onClick={() => setMenuOpen((isOpen) => !isOpen)}
            className="menu-button"
          >
            <IconMenu size={20} />
          </ActionIcon>
          <button type="button" className="searchbox" onClick={() => setPaletteOpen(true)}>
            <IconSearch size={16} aria-hidden="true" />
            <span style={{ overflow: "hidden", textOverflow: "ellipsis", whiteSpace: "nowrap" }}>
              {t("palette.hint")}
            </span>
            <Kbd size="xs" aria-hidden="true">
              Ctrl K
            </Kbd>
          </button>
          <div style={{ marginLeft: "auto", display: "flex", alignItems: "center", gap: 4 }}>
            {info?.environment && <span className="pill soft-calm">{info.environment.name}</span>}
            <LiveSign />
            <Menu position="bottom-end">
              <Menu.Target>
                <Tooltip label={t("shell.language")}>
                  <ActionIcon variant="subtle" color="gray" size="lg" aria-label={t("shell.language")}>
                    <IconLanguage size={19} stroke={1.7} />
                  </ActionIcon>
                </Tooltip>
              </Menu.Target>
              <Menu.Dropdown>
                <Menu.Label>{t("shell.language")}</Menu.Label>
                {(Object.keys(LOCALES) as Locale[]).map((code) => (
                  <Menu.Item
                    key={code}
                    lang={code}
                    fw={code === locale ? 650 : 400}
                    onClick={() => prefer({ locale: code })}
                  >
                    {LOCALES[code]}
                  </Menu.Item>
                ))}
                <Menu.Divider />
                <Menu.Item leftSection={<IconClock size={15} />} onClick={() => prefer({ isUtc: !isUtc })}>
                  {t(isUtc ? "shell.showLocal" : "shell.showUtc")}
                </Menu.Item>
              </Menu.Dropdown>
            </Menu>
            <Menu position="bottom-end">
              <Menu.Target>
                <Tooltip label={t("shell.theme")}>
                  <ActionIcon variant="subtle" color="gray" size="lg" aria-label={t("shell.theme")}>
                    {dark ? <IconMoon size={19} stroke={1.7} /> : <IconSun size={19} stroke={1.7} />}
                  </ActionIcon>
                </Tooltip>
              </Menu.Target>
              <Menu.Dropdown>
                {(
                  [
                    ["light", IconSun],
                    ["dark", IconMoon],
                    ["auto", IconDevices],
                  ] as const
                ).map(([name, Icon]) => (
                  <Menu.Item
                    key={name}
                    leftSection={<Icon size={15} />}
                    fw={name === theme ? 650 : 400}
                    onClick={() => prefer({ theme: name })}
                  >
                    {t(`theme.${name}`)}
                  </Menu.Item>
                ))}
              </Menu.Dropdown>
            </Menu>
            <Tooltip label={t("help.title")}>
              <ActionIcon
                variant="subtle"
                color="gray"
                size="lg"
                aria-label={t("help.title")}
                onClick={() => setHelpOpen(true)}
              >
                <IconHelp size={19} stroke={1.7} />
              </ActionIcon>
            </Tooltip>
          </div>
        </div>
        <LostBanner />
        {info?.warnings.map((warning) => (
          <div key={warning.code} className="banner soft-warn" role="note">
            <IconAlert size={16} aria-hidden="true" />
            {language.maybe(`warning.${warning.code}`) ?? warning.message}
          </div>
        ))}
        <main className="content" id="content" ref={heading} tabIndex={-1} style={{ outline: "none" }}>
          <Outlet />
        </main>
      </div>
      {isPaletteOpen && <Palette onClose={() => setPaletteOpen(false)} onHelp={() => setHelpOpen(true)} />}
      {isHelpOpen && <Help onClose={() => setHelpOpen(false)} />}
    </div>
  );
}

function LiveSign() {
  const { t } = useLanguage();
  const { status } = useLiveState();
  const tone = { live: "good", connecting: "calm", lost: "bad" }[status];
  return (
    <Tooltip label={t(`live.${status}.hint`)}>
      <span className={`pill soft-${tone}`} role="status" data-live={status}>
        <span className={status === "live" ? "dot beats" : "dot"} />
        {t(`live.${status}`)}
      </span>
    </Tooltip>
  );
}

/** Says since when nothing comes any more, and when the next attempt is. */
function LostBanner() {
  const { t, ago } = useLanguage();
  const { status, lastAt, retryAt } = useLiveState();
  const [, tick] = useState(0);
  useEffect(() => {
    if (status !== "lost") return;
    const timer = setInterval(() => tick((count) => count + 1), 1_000);
    return () => clearInterval(timer);
  }, [status]);
  if (status !== "lost") return null;
  const seconds = Math.max(0, Math.ceil(((retryAt ?? 0) - Date.now()) / 1000));
  return (
    <div className="banner soft-bad" role="alert">
      <IconAlert size={16} aria-hidden="true" />
      <strong>{t("lost.title")}</strong>
      <span>{t("lost.text", { ago: ago(lastAt) })}</span>
      <span className="numeric" aria-live="off">
        {t("lost.retry", { seconds })}
      </span>
      <Button size="compact-xs" variant="default" onClick={() => live.retry()}>
        {t("lost.now")}
      </Button>
    </div>
  );
}
