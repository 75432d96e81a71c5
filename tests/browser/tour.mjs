// The console in a real browser, as a person uses it: the printed link, an account, an app, a value on a live node, a purge,
// the traffic of real log lines. On the way every page is checked: no violation of its policy, no error in its console, none of axe's rules broken,
// in both languages and both colour schemes. Actions (clicks, chords, fields) are counted against what each job may take.
//
//   node tests/browser/tour.mjs PROGRAM MODULES [CHROMIUM]
//
// PROGRAM is the built server, MODULES the folder with playwright-core and axe-core. Screenshots go to MODULES/screenshots.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

import { configuration, configurationPages } from "./configuration.mjs";
import { bandwidth, figures, thresholds } from "./delivery.mjs";
import { administration, dangerous, fleet } from "./fleet.mjs";

const [program, modules, chromiumPath = "/usr/bin/chromium"] = process.argv.slice(2).map((path) => resolve(path));
const require = createRequire(join(modules, "/"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const screenshots = join(modules, "screenshots");
mkdirSync(screenshots, { recursive: true });

const root = resolve(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "pilothouse-browser-"));
const processes = [];
const password = "correct horse battery";

function freePort() {
  return new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

// Starts a program, by default the server; `said` waits for a line of its output.
function start(args, env = {}, executable = program) {
  const child = spawn(executable, args, { cwd: folder, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  processes.push(child);
  let output = "";
  child.stdout.on("data", (data) => { output += data; });
  child.stderr.on("data", (data) => { output += data; });
  return {
    child,
    async said(pattern) {
      for (let n = 0; n < 600; n += 1) {
        const found = output.match(pattern);
        if (found) return found;
        assert.equal(child.exitCode, null, `the program ended: ${output}`);
        await new Promise((done) => setTimeout(done, 100));
      }
      throw new Error(`${pattern} was not said: ${output}`);
    },
  };
}

// An edge as `edge-config` makes it of nginx, on this machine.
function startEdge(port, originPort) {
  const at = (name) => join(folder, "edge", name);
  mkdirSync(at("cache"), { recursive: true });
  const args = ["edge-config", "--kind", "nginx", "--listen", `127.0.0.1:${port}`, "--origin", `http://127.0.0.1:${originPort}`, "--allow", "127.0.0.1", "--log", at("access.log"), "--cache", at("cache")];
  writeFileSync(at("edge.conf"), execFileSync(program, args));
  const modules = ["ndk_http_module", "ngx_http_lua_module"].map((name) => `load_module /usr/lib/nginx/modules/${name}.so;`);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${at(name)};`);
  const user = process.getuid() === 0 ? "user root;" : "";
  writeFileSync(at("nginx.conf"), [...modules, user, "daemon off;", `pid ${at("pid")};`, `error_log ${at("log")};`, "events {}", "http {", ...temporary, `include ${at("edge.conf")};`, "}", ""].join("\n"));
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
  processes.push(spawn("nginx", ["-p", at(""), "-c", at("nginx.conf")], { env, stdio: "ignore" }));
}

const problems = [];
let checked = 0;
// While a server is killed on purpose, pages say that they cannot reach it.
const outage = { isOn: false };

// Opens a page of a browser that notes what goes wrong in it.
async function open(browser, options) {
  const context = await browser.newContext({ baseURL: url, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(60000);
  page.on("console", (message) => {
    const isRefusal = message.text().includes("status of 4");
    if (message.type() === "error" && !isRefusal && !outage.isOn) problems.push(`${page.url()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => problems.push(`${page.url()}: ${error.message}`));
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  return page;
}

// Checks the page that is open. A script tag with axe would violate the policy, rightly, so it is evaluated.
async function check(page, name) {
  await page.evaluate(axe);
  const broken = await page.evaluate(async () => (await window.axe.run()).violations.map((rule) => `${rule.id}: ${rule.nodes.map((node) => node.html.slice(0, 160)).slice(0, 3).join(" | ")}`));
  const violations = await page.evaluate(() => window.violations);
  for (const what of [...broken, ...violations]) problems.push(`${name} ${page.url()}: ${what}`);
  checked += 1;
}

// A job of a person, and how many actions it may take.
class Job {
  constructor(page) { this.page = page; this.actions = 0; }
  async click(locator) { this.actions += 1; await locator.click(); }
  async fill(locator, text) { this.actions += 1; await locator.fill(text); }
  async press(keys) { this.actions += 1; await this.page.keyboard.press(keys); }
  most(most, name) {
    assert.ok(this.actions <= most, `${name} took ${this.actions} actions, and may take ${most}`);
    console.log(`browser: ${name}: ${this.actions} actions`);
  }
}

const port = await freePort();
const edgePort = await freePort();
const url = `http://127.0.0.1:${port}`;
const config = join(folder, "tour.toml");
writeFileSync(config, `listen = "127.0.0.1:${port}"
data_dir = "${join(folder, "data")}"
[[cdn]]
name = "level3"
kind = "edges"
[[cdn.edge]]
name = "edge-1"
kind = "nginx"
url = "http://127.0.0.1:${edgePort}"
`);

// Pages that are checked in both languages and both schemes: each of them in each with `--long`, else each in one.
const isLong = Boolean(process.env.PILOTHOUSE_TEST_LONG);
const context = {
  check, folder, url, Job, password, screenshots,
  agent: join(dirname(program), "pilothouse-agent"),
  startProgram: (executable, args) => start(args, {}, executable),
};

async function tour() {
  const serve = () => start(["serve", "--config", config]);
  let server = serve();
  const [link] = await server.said(/http:\S+\/console\/setup\?code=[0-9a-f]{32}/);
  const browser = await chromium.launch({ executablePath: chromiumPath, args: ["--no-sandbox"] });
  try {
    const page = await open(browser, { locale: "en-GB", colorScheme: "light" });

    // The first account, by the link that the server printed.
    await page.goto(link);
    await check(page, "setup");
    await page.getByLabel("Name", { exact: true }).fill("ann");
    await page.getByLabel("Mail").fill("ann@example.com");
    await page.getByLabel("Password", { exact: true }).fill(password);
    await page.getByLabel("Password again").fill(password);
    await page.getByRole("button", { name: "Create account" }).click();
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await check(page, "overview");

    // Log out and in by keyboard alone.
    await page.getByRole("button", { name: "Log out" }).press("Enter");
    await page.getByLabel("Name or mail").waitFor();
    await check(page, "log-in");
    await page.keyboard.type("ann");
    await page.keyboard.press("Tab");
    await page.keyboard.type(password);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Overview" }).waitFor();

    // An app and its first value.
    await page.keyboard.press("g");
    await page.keyboard.press("a");
    await page.getByRole("heading", { name: "Apps" }).waitFor();
    await page.getByLabel("App", { exact: true }).fill("shop");
    await page.getByLabel("Name", { exact: true }).fill("Shop");
    await page.getByRole("button", { name: "Create" }).click();
    await page.getByRole("status").waitFor();
    await dangerous(context, page, () => page.getByRole("button", { name: "New key" }).click());
    const key = await page.locator(".secret").textContent();
    await check(page, "app");
    await page.getByLabel("Profile", { exact: true }).fill("prod");
    await page.getByRole("button", { name: "Open" }).click();
    await page.getByLabel("Key", { exact: true }).fill("motd");
    await page.getByLabel("Value", { exact: true }).fill("hello");
    await page.getByRole("button", { name: "Create", exact: true }).click();
    await page.getByRole("status").waitFor();
    const startNode = () => start(["watch", "--config", config, "--app", "shop", "--profile", "prod", "--url", url, "--key", "env:APP_KEY", "--node-id", "n-1"], { APP_KEY: key.trim() });
    const node = startNode();
    await node.said(/watching /);

    // A value is changed and published to a live node: edit, type, to the sheet, confirm.
    await page.goto("/console/apps/shop/profiles/prod");
    let job = new Job(page);
    await job.press("e");
    await page.locator("#items textarea").waitFor();
    assert.ok(await page.locator("#items textarea").evaluate((field) => field === document.activeElement), "the field has the focus");
    await check(page, "edit in place");
    await job.fill(page.locator("#items textarea"), "hello again");
    await job.press("Control+Enter");
    await page.getByRole("button", { name: "Approve and publish" }).waitFor();
    await check(page, "publish");
    await job.press("p");
    // The page turns by itself when the node has it.
    await page.getByText("Applied 1 / 1").waitFor();
    job.most(4, "change and publish a value");
    await node.said(/hello again/);
    await check(page, "release");
    await page.screenshot({ path: join(screenshots, "release.png"), fullPage: true });

    // A value is published by keyboard alone, from the overview: to the apps, the app, its profile and its first item.
    await page.goto("/console");
    job = new Job(page);
    await page.keyboard.press("g");
    await job.press("a");
    await page.getByRole("heading", { name: "Apps" }).waitFor();
    for (const heading of ["shop", "shop / prod"]) {
      await page.keyboard.press("j");
      await job.press("Enter");
      await page.getByRole("heading", { name: heading, exact: true }).waitFor();
    }
    await page.keyboard.press("j");
    await job.press("e");
    await page.locator("#items textarea:focus").waitFor();
    await page.keyboard.press("Control+a");
    job.actions += 1;
    await page.keyboard.type("by keyboard");
    await job.press("Control+Enter");
    await page.getByRole("button", { name: "Approve and publish" }).waitFor();
    await job.press("p");
    await page.getByText("Applied 1 / 1").waitFor();
    job.most(7, "change and publish a value by keyboard, from the overview");
    await node.said(/by keyboard/);

    // From the release to the node: what it holds, and what it was given.
    await page.getByRole("link", { name: "n-1" }).click();
    await page.getByRole("heading", { name: "Node n-1" }).waitFor();
    await page.getByRole("row", { name: /motd v3 v3 Applied/ }).waitFor();
    await check(page, "node");

    // A grey release by percent: edit, type, to the sheet, with the share to the live page, and to all.
    await page.goto("/console/apps/shop/profiles/prod");
    job = new Job(page);
    await job.press("e");
    await job.fill(page.locator("#items textarea"), "grey");
    await job.press("Control+Enter");
    await job.fill(page.getByRole("textbox", { name: "a share of the nodes" }), "50");
    assert.ok(await page.getByRole("radio", { name: "a share of the nodes" }).isChecked(), "the share chooses itself");
    await job.click(page.getByRole("button", { name: "Approve and publish" }));
    await page.getByText("Applied 1 / 1").waitFor();
    job.most(6, "change and publish a value to a share of the nodes");
    job = new Job(page);
    await job.click(page.getByRole("button", { name: "Publish to all" }));
    await page.getByRole("status").first().waitFor();
    job.most(2, "publish a grey release to all");

    // A release is taken back: from the list to what that does, and done.
    await page.goto("/console/apps/shop/profiles/prod/releases");
    job = new Job(page);
    await job.click(page.getByRole("link", { name: /^Roll back/ }));
    await page.getByText("+by keyboard").waitFor();
    await check(page, "roll back");
    await job.press("b");
    await page.getByText("Applied 1 / 1").waitFor();
    job.most(2, "roll a release back");

    server = await configuration({ page, node, server, serve, startNode, check, screenshots, outage });

    // A customer with a domain, and a purge that waits for an edge which is not there.
    await page.goto("/console/cdn/customers");
    await page.getByLabel("Mail").fill("ann@example.com");
    await page.getByLabel("CDN password").fill("another long password");
    await dangerous(context, page, () => page.getByRole("button", { name: "Create" }).click());
    await page.getByText("Created").waitFor();
    await page.goto("/console/cdn/domains");
    await page.getByLabel("Domains").fill("cdn.example.com");
    await page.getByRole("button", { name: "Add domains" }).click();
    await page.getByRole("link", { name: "cdn.example.com" }).waitFor();
    await check(page, "domains");
    await page.goto("/console/cdn/jobs");
    await check(page, "purge");
    job = new Job(page);
    await job.fill(page.locator("textarea"), "http://cdn.example.com/index.html");
    await job.press("Control+Enter");
    await page.getByText("Confirmed by 0 / 1").waitFor();
    job.most(2, "purge a URL");
    await page.getByText(/unreachable|refused|answer/).first().waitFor();
    await check(page, "job");
    // The edge comes: it catches up, and the page shows by itself that it confirmed.
    startEdge(edgePort, port);
    await page.getByText("Confirmed by 1 / 1").waitFor({ timeout: 60000 });
    await check(page, "confirmed job");
    await page.screenshot({ path: join(screenshots, "job.png"), fullPage: true });
    await page.goto("/console/cdn/edges");
    await page.getByText("in service").waitFor();
    await check(page, "edges");

    // A purge by keyboard alone, from the overview to the confirmation.
    await page.goto("/console");
    job = new Job(page);
    await page.keyboard.press("g");
    await job.press("j");
    await page.locator("textarea:focus").waitFor();
    job.actions += 1;
    await page.keyboard.type("http://cdn.example.com/by-keyboard.html");
    await job.press("Control+Enter");
    await page.getByText("Confirmed by 1 / 1").waitFor({ timeout: 60000 });
    job.most(3, "purge a URL by keyboard, from the overview");

    await thresholds(context, page);
    await fleet(context, page);
    await administration(context, page);

    // Traffic of real log lines, and the 95th percentile that the API answers.
    server.child.kill("SIGTERM");
    await new Promise((done) => server.child.on("exit", done));
    const log = join(root, "access-log/tests/data/apache-combined-10k.log.gz");
    execFileSync(program, ["ingest", log, "--config", config, "--cdn", "level3", "--edge", "edge-1", "--format", "combined", "--domain", "cdn.example.com"], { cwd: folder });
    const again = start(["serve", "--config", config]);
    await again.said(/serves on/);
    await page.goto("/console/cdn/traffic?range=own&start=2015-05-17&end=2015-05-31");
    await page.locator(".chart canvas").first().waitFor();
    const logIn = await (await fetch(`${url}/admin/user_login`, { method: "POST", body: JSON.stringify({ name: "ann", password }) })).json();
    const headers = { authorization: `Bearer ${logIn.info.access_token}` };
    for (const rule of ["month95", "daily_peak", "top5"]) {
      const bill = await (await fetch(`${url}/level3/billing?month=201505&domain=cdn.example.com&rule=${rule}`, { headers })).json();
      assert.equal(bill.err, 0);
      const shown = await page.locator(`[data-rule=${rule}]`).getAttribute("data-value");
      assert.equal(shown, String(bill.bandwidth), rule);
      // The log has lines of five days, in so few minutes of each that 5 % of the month are more.
      assert.equal(Number(shown) > 0, rule !== "month95");
    }
    await check(page, "traffic");
    await figures(context, page, headers);
    await bandwidth(context, page);
    await page.goto("/console/cdn/traffic?range=own&start=2015-05-17&end=2015-05-31");
    await page.locator(".chart canvas").first().waitFor();
    const canvas = await page.locator(".chart .u-over").first().boundingBox();
    await page.mouse.move(canvas.x + 100, canvas.y + 50);
    await page.mouse.down();
    await page.mouse.move(canvas.x + 300, canvas.y + 60, { steps: 5 });
    await page.mouse.up();
    await page.waitForURL(/range=own&start=\d+&end=\d+/);
    await page.screenshot({ path: join(screenshots, "traffic.png"), fullPage: true });

    // Every page, in both languages and both schemes, or a sample of these.
    const storage = await page.context().storageState();
    const pages = ["/console", "/console/me", "/console/apps", "/console/apps/shop", "/console/apps/shop/profiles/prod", "/console/apps/shop/profiles/prod/item?key=motd", "/console/apps/shop/profiles/prod/releases", "/console/apps/shop/profiles/prod/nodes", "/console/apps/shop/profiles/prod/nodes/node?id=n-1", ...configurationPages, "/console/cdn/jobs", "/console/cdn/traffic", "/console/cdn/billing", "/console/cdn/logs", "/console/cdn/domains", "/console/cdn/edges", "/console/cdn/customers", "/console/tasks", "/console/machines", "/console/admin/accounts", "/console/admin/audit", "/console/nothing",
      "/console/cdn/top", "/console/cdn/areas", "/console/cdn/alarms", "/console/cdn/thresholds", "/console/cdn/thresholds?edit=cdn.example.com", "/console/cdn/bills", "/console/cdn/hosts", "/console/batches", "/console/batches/new", "/console/files", "/console/machines/machine?name=web01", "/console/machines?edit=web01", "/console/admin/accounts/account?name=ann", "/console/admin/companies", "/console/admin/system"];
    const looks = ["en-GB", "zh-CN"].flatMap((locale) => ["light", "dark"].map((colorScheme) => ({ locale, colorScheme })));
    for (const [n, { locale, colorScheme }] of looks.entries()) {
      const view = await open(browser, { locale, colorScheme, storageState: storage });
      for (const path of pages.filter((_, at) => isLong || at % looks.length === n)) {
        await view.goto(path);
        await check(view, `${locale} ${colorScheme}`);
      }
      await view.goto("/console/apps/shop/profiles/prod");
      await view.screenshot({ path: join(screenshots, `items-${locale}-${colorScheme}.png`), fullPage: true });
      await view.context().close();
    }

    // Without JavaScript everything but live parts and charts works.
    const plain = await open(browser, { locale: "en-GB", javaScriptEnabled: false, storageState: storage });
    await plain.goto("/console/apps/shop/profiles/prod");
    await plain.getByRole("link", { name: "Edit motd" }).click();
    await plain.locator("#items textarea").fill("without scripts");
    await plain.getByRole("button", { name: "Save", exact: true }).click();
    await plain.getByText("Saved").waitFor();
    await plain.context().close();
  } finally {
    await browser.close();
  }
}

let failed = false;
try {
  await tour();
  for (const problem of problems) console.error(`browser: ${problem}`);
  failed = problems.length > 0;
  if (!failed) console.log(`browser: ${checked} pages checked, and nothing was wrong`);
} catch (error) {
  for (const problem of problems) console.error(`browser: ${problem}`);
  console.error(error);
  failed = true;
} finally {
  for (const child of processes) child.kill("SIGTERM");
  rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
}
process.exit(failed ? 1 : 0);
