// Bundles every islands/NAME/main.ts to static/islands/NAME.js (and NAME.css, if it imports a style).
import { build } from "esbuild";
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

const here = import.meta.dirname;
const out = join(here, "../src/cryocloud/web/static/islands");
const names = readdirSync(here).filter((name) => existsSync(join(here, name, "main.ts")));
rmSync(out, { recursive: true, force: true });
await build({
  entryPoints: Object.fromEntries(names.map((name) => [name, join(here, name, "main.ts")])),
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022"],
  logLevel: "warning",
  define: { "process.env.NODE_ENV": '"production"', "process.env.DEBUG": "undefined" },
  loader: { ".svg": "text" },
  legalComments: "linked",
});
// Documents are set in the font of the pages.
mkdirSync(join(out, "fonts"));
for (const weight of ["400Regular/Inter_400Regular.ttf", "600SemiBold/Inter_600SemiBold.ttf"]) {
  copyFileSync(join(here, "node_modules/@expo-google-fonts/inter", weight), join(out, "fonts", weight.split("/")[1]));
}
