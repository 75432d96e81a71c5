// A machine with a real agent, as a person sets it up and works with it in the console: enrolment, a file that is uploaded,
// planned, put in place and taken back; then what administrators do: accounts, companies, the system page, colours.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";

// Does what asks for the password again, and types it.
export async function dangerous(tour, page, act) {
  await page.context().clearCookies({ name: "pilothouse-confirmed" });
  await act();
  await page.getByRole("heading", { name: "Confirm with your password" }).waitFor();
  await tour.check(page, "password again");
  await page.locator("input[name=confirm_password]").fill(tour.password);
  await page.keyboard.press("Enter");
}

export async function fleet(tour, page) {
  const { check, folder, url, Job } = tour;
  const at = (name) => join(folder, "machine", name);
  mkdirSync(at("conf"), { recursive: true });
  mkdirSync(at("state"), { mode: 0o700 });
  const before = "before\n", after = "after\n";
  writeFileSync(at("conf/motd"), before, { mode: 0o640 });
  utimesSync(at("conf/motd"), 1480471675, 1480471675);
  const settings = `server = "${url}"\nstate_dir = "${at("state")}"\nreserve_percent = 0\nallow = ["${at("conf")}"]\n`;
  writeFileSync(at("agent.toml"), settings, { mode: 0o600 });

  // The machine, and its agent by the command that is shown once.
  await page.goto("/console/machines");
  await page.getByLabel("Name", { exact: true }).fill("web01");
  await page.getByLabel("Inside address").fill("127.0.0.1");
  await page.getByLabel("Usage").fill("web");
  await page.getByLabel("Location").fill("here");
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("link", { name: "web01", exact: true }).click();
  await page.getByText("no agent").waitFor();
  await dangerous(tour, page, () => page.getByRole("button", { name: "Enrol the agent" }).click());
  const command = (await page.locator(".secret").textContent()).trim().split(" ");
  assert.equal(command[0], "pilothouse-agent");
  await check(page, "enrolment");
  execFileSync(tour.agent, ["--config", at("agent.toml"), ...command.slice(1)]);
  tour.startProgram(tour.agent, ["--config", at("agent.toml"), "run"]);

  // A file, by its hash, into a batch of one machine.
  await page.goto("/console/files");
  await check(page, "files");
  await page.locator("input[type=file]").setInputFiles({ name: "motd", mimeType: "text/plain", buffer: Buffer.from(after) });
  await page.getByRole("button", { name: "Upload" }).click();
  assert.equal(await page.locator(".secret").textContent(), createHash("sha256").update(after).digest("hex"));
  await check(page, "uploaded file");
  await page.getByRole("link", { name: "New batch with this file" }).click();
  await check(page, "new batch");
  await page.getByLabel("Which, one a line").fill("web01");
  await page.getByLabel("Path").fill(at("conf/motd"));
  await page.getByLabel("Description").fill("a greeting");
  await page.keyboard.press("Control+Enter");
  await page.getByText("not executed").waitFor();
  await check(page, "batch");
  const state = (name) => page.locator("#live strong").filter({ hasText: new RegExp(`^${name}$`) }).waitFor({ timeout: 60000 });

  // What it would do, then it is done, and the page tells by itself.
  await page.getByRole("button", { name: "Plan" }).click();
  await page.getByText("replace it").waitFor({ timeout: 60000 });
  assert.equal(readFileSync(at("conf/motd"), "utf8"), before);
  let job = new Job(page);
  await job.click(page.getByRole("button", { name: "Execute" }));
  await state("succeeded");
  job.most(1, "execute an update");
  assert.equal(readFileSync(at("conf/motd"), "utf8"), after);
  await check(page, "batch that succeeded");
  await page.screenshot({ path: join(tour.screenshots, "batch.png"), fullPage: true });

  // Back to what was there, to the second of its time.
  job = new Job(page);
  await job.click(page.getByRole("button", { name: "Undo" }));
  await state("reverted");
  job.most(1, "revert an update");
  assert.equal(readFileSync(at("conf/motd"), "utf8"), before);
  const kept = statSync(at("conf/motd"));
  assert.deepEqual([kept.mode & 0o777, kept.mtimeMs], [0o640, 1480471675000]);
  await page.getByRole("row", { name: "web01" }).getByRole("link").click();
  await page.locator("#live").waitFor();
  await check(page, "task of a batch");
  await page.goto("/console/machines/machine?name=web01");
  await page.getByText("online").waitFor();
  await check(page, "machine");
  await page.screenshot({ path: join(tour.screenshots, "machine.png"), fullPage: true });
}

export async function administration(tour, page) {
  const { check } = tour;
  await page.goto("/console/admin/companies");
  await page.getByLabel("Company", { exact: true }).fill("Example");
  await page.getByLabel("Name of the owner").fill("Bob");
  await page.getByLabel("Mail of the owner").fill("bob@example.com");
  await dangerous(tour, page, () => page.getByRole("button", { name: "New company" }).click());
  const owner = page.getByRole("row", { name: "Example" }).getByRole("link", { name: "bob@example.com" });
  await owner.waitFor();
  await check(page, "companies");
  await owner.click();
  await page.getByRole("heading", { name: "Account bob@example.com" }).waitFor();
  await dangerous(tour, page, () => page.getByRole("button", { name: "Disable" }).click());
  await page.getByRole("button", { name: "Enable" }).waitFor();
  await check(page, "account");
  await page.goto("/console/admin/system");
  await page.getByText("batch worker").or(page.getByText("edge leases")).first().waitFor();
  await check(page, "system");
  // Colours are chosen with a click, and held by every page.
  for (const theme of ["dark", "light"]) {
    await page.getByRole("button", { name: theme, exact: true }).click();
    await page.locator(`html[data-theme=${theme}]`).waitFor();
    await check(page, `${theme} by choice`);
  }
  await page.getByRole("button", { name: "of the system" }).click();
  await page.locator("html:not([data-theme])").waitFor();
}
