// The configuration centre in the tour: the text mode with its editor, change sets, the inbox, search, copies, files, and a live
// page that outlives its server.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const PROD = "/console/apps/shop/profiles/prod";

// Pages that are looked at in every language and scheme.
export const configurationPages = ["/console/inbox", "/console/search?q=motd", `${PROD}/text`, `${PROD}/changesets`, `${PROD}/changesets/1`, `${PROD}/files`, "/console/compare?app=shop&profile=prod&with_profile=test"];

// Answers the server that runs at its end.
export async function configuration({ page, node, server, serve, startNode, check, screenshots, outage }) {
  // All items as one text, in the editor: what it changes is shown, saved as one set, and released as one.
  await page.goto(`${PROD}?edit=motd`);
  await page.locator("#items textarea").fill("one\ntwo");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByText("Saved").waitFor();
  await page.goto(`${PROD}/text`);
  const editor = page.locator(".cm-content");
  await editor.waitFor();
  assert.equal(await editor.getAttribute("aria-label"), "As text");
  await check(page, "text mode");
  await editor.click();
  await page.keyboard.press("Control+End");
  await page.keyboard.type("jobs=g\n");
  // On the full screen nothing else is reached, and Escape leaves it with the text as it is.
  await page.keyboard.press("Alt+Enter");
  await page.locator(".sheet.full").waitFor();
  assert.ok((await editor.boundingBox()).width > page.viewportSize().width - 120, "the editor takes the whole width");
  assert.ok(await page.locator("header").evaluate((header) => header.inert), "what is behind it is inert");
  await check(page, "full screen");
  await page.screenshot({ path: join(screenshots, "full-screen.png") });
  await page.keyboard.type("feature.x=on\n");
  await page.keyboard.press("Escape");
  await page.locator(".sheet.full").waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Full screen" }).press("Enter");
  await page.locator(".sheet.full").waitFor();
  await page.keyboard.press("Escape");
  await page.locator(".sheet:not(.full)").waitFor();
  assert.ok(!(await page.locator("header").evaluate((header) => header.inert)));
  await editor.click();
  await page.screenshot({ path: join(screenshots, "text.png"), fullPage: true });
  await page.keyboard.press("Control+Enter");
  await page.getByText("Would change: 2").waitFor();
  await check(page, "difference of a text");
  await page.getByLabel("Title").fill("by text");
  await page.getByRole("button", { name: "Save as a change set" }).click();
  await page.getByRole("heading", { name: /Change set #1 by text/ }).waitFor();
  await check(page, "change set");
  await page.keyboard.press("p");
  await page.getByText("Applied 1 / 1").waitFor();
  await node.said(/feature\.x/);

  // A value with several lines is edited in the editor, against what is published.
  await page.goto(PROD);
  await page.getByRole("link", { name: "Edit motd" }).click();
  const value = page.locator("#items .cm-content");
  await value.waitFor();
  assert.ok((await page.locator("#items .cm-deletedChunk").count()) > 0, "what is published is shown beside it");
  await check(page, "editor");
  await page.screenshot({ path: join(screenshots, "editor.png"), fullPage: true });
  await value.click();
  await page.keyboard.press("Control+a");
  await page.keyboard.type("only one");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByText("only one").waitFor();

  // The inbox, by keyboard: go there, approve.
  await page.keyboard.press("g");
  await page.keyboard.press("n");
  await page.getByRole("heading", { name: "To approve" }).waitFor();
  await check(page, "inbox");
  await page.keyboard.press("j");
  await page.keyboard.press("a");
  await page.getByRole("heading", { name: "To publish" }).waitFor();
  await page.getByRole("button", { name: "Reject motd" }).click();
  await page.getByText("Nothing waits for anybody").waitFor();

  // Search, from anywhere, to the item.
  await page.keyboard.press("/");
  await page.getByLabel("Text in keys and values").waitFor();
  await page.keyboard.type("feature.");
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "feature.x" }).waitFor();
  await check(page, "search");
  await page.getByRole("link", { name: "feature.x" }).click();
  await page.getByRole("heading", { name: "feature.x" }).waitFor();

  // One key is copied into another profile.
  await page.goto("/console/compare?app=shop&profile=prod&with_profile=test");
  await page.getByText("Only left: 3").waitFor();
  await check(page, "comparison");
  await page.getByLabel("Choose feature.x").check();
  await page.getByRole("button", { name: /^Copy the chosen keys/ }).click();
  await page.getByRole("heading", { name: /Change set #2/ }).waitFor();
  assert.equal(new URL(page.url()).pathname, "/console/apps/shop/profiles/test/changesets/2");

  // The profile as a file; and a file that says something else, first as a dry run.
  await page.goto(`${PROD}/files`);
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: ".properties" }).click()]);
  assert.equal(download.suggestedFilename(), "shop-prod.properties");
  const exported = readFileSync(await download.path(), "utf8");
  assert.match(exported, /^feature\.x=on$/m);
  const file = { name: "shop.properties", mimeType: "text/plain", buffer: Buffer.from(exported.replace("feature.x=on", "feature.x=off")) };
  await page.getByLabel("File", { exact: true }).setInputFiles(file);
  await page.getByRole("button", { name: "Dry run" }).click();
  await page.getByText("Would change: 1").waitFor();
  await page.getByText("+off").waitFor();
  await check(page, "dry run of an import");
  await page.getByRole("button", { name: "Import as a change set" }).click();
  await page.getByRole("heading", { name: /Change set #3/ }).waitFor();

  // A live page whose server is killed goes on with the next one by itself, and shows what came of the release.
  const ended = (child) => new Promise((done) => child.on("exit", done));
  const nodeEnded = ended(node.child);
  node.child.kill("SIGKILL");
  await nodeEnded;
  outage.isOn = true;
  // The first request of the live part is lost, as one that meets the kill.
  await page.route("**/live?*", (route) => route.abort(), { times: 1 });
  await page.keyboard.press("p");
  await page.getByText("Applied 0 / 1").waitFor();
  await page.waitForLoadState("load");
  const serverEnded = ended(server.child);
  server.child.kill("SIGKILL");
  await serverEnded;
  const next = serve();
  await next.said(/serves on/);
  startNode();
  await page.getByText("Applied 1 / 1").waitFor({ timeout: 60000 });
  outage.isOn = false;
  await check(page, "release after a kill");
  return next;
}
