import "./fonts.css";
import "./styles.css";
import "./app.css";
import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { Failure } from "./api/http";
import { live } from "./api/live";
import { LanguageProvider, loadTexts } from "./i18n";
import { preferences, usePreferences } from "./preferences";
import { router } from "./router";
import { theme, variables } from "./theme";
import { Toasts } from "./ui/toasts";

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 2_000,
      retry: (count, error) => count < 2 && (!(error instanceof Failure) || error.error.retriable),
      retryDelay: (count) => 300 * 2 ** count,
      refetchOnWindowFocus: true,
      placeholderData: (previous: unknown) => previous,
    },
  },
});

function App(props: { initialTexts: Record<string, string> }) {
  const { locale, isUtc, theme: scheme } = usePreferences();
  const [loaded, setLoaded] = useState({ locale: preferences().locale, texts: props.initialTexts });
  useEffect(() => {
    let isCurrent = true;
    loadTexts(locale).then((texts) => {
      if (isCurrent) setLoaded({ locale, texts });
    });
    return () => {
      isCurrent = false;
    };
  }, [locale]);
  useEffect(() => {
    document.documentElement.lang = loaded.locale;
  }, [loaded.locale]);
  return (
    <MantineProvider
      theme={theme}
      cssVariablesResolver={variables}
      {...(scheme === "auto" ? { defaultColorScheme: "auto" as const } : { forceColorScheme: scheme })}
    >
      <LanguageProvider locale={loaded.locale} texts={loaded.texts} isUtc={isUtc}>
        <QueryClientProvider client={queries}>
          <RouterProvider router={router} />
          <Toasts />
        </QueryClientProvider>
      </LanguageProvider>
    </MantineProvider>
  );
}

document.documentElement.lang = preferences().locale;
live.start();
const initialTexts = await loadTexts(preferences().locale);
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <App initialTexts={initialTexts} />
  </StrictMode>,
);
