declare module "virtual:locale/*" {
  const texts: Record<string, string>;
  export default texts;
}
declare module "@tabler/icons-react/dist/esm/icons/*" {
  import type { ComponentType, SVGProps } from "react";
  const icon: ComponentType<SVGProps<SVGSVGElement> & { size?: number | string; stroke?: number | string }>;
  export default icon;
}
declare module "*.css";
declare module "@fontsource-variable/inter/*";
