// The CDN pages on real figures: thresholds, bandwidth with its 95th percentile, top URLs, bills as a page and as a file.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

// A domain's threshold is set, changed and deleted.
export async function thresholds(tour, page) {
  const { check } = tour;
  await page.goto("/console/cdn/thresholds");
  await check(page, "thresholds");
  await page.getByRole("link", { name: "Edit cdn.example.com" }).click();
  await page.getByLabel("Bandwidth above").fill("5000000");
  await page.getByLabel("5xx above").fill("101");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("alert").waitFor();
  assert.equal(await page.getByLabel("Bandwidth above").inputValue(), "5000000", "what was typed stays");
  await page.getByLabel("5xx above").fill("5.5");
  await check(page, "threshold that is edited");
  await page.keyboard.press("Enter");
  await page.getByText("5.5 %").waitFor();
  await page.goto("/console/cdn/alarms");
  await check(page, "alarms");
}

// From the overview to the bandwidth of a domain with its 95th percentile.
export async function bandwidth(tour, page) {
  await page.goto("/console");
  const job = new tour.Job(page);
  await job.click(page.getByRole("navigation").getByRole("link", { name: "Domains" }));
  await job.click(page.getByRole("link", { name: "cdn.example.com" }));
  await page.locator("[data-rule=month95]").waitFor();
  job.most(2, "bandwidth of a domain with its 95th percentile");
}

// URLs and bills of the log that was read, which are those that the API answers.
export async function figures(tour, page, headers) {
  const { check, url } = tour;
  await page.goto("/console/cdn/top?range=own&start=2015-05-17&end=2015-05-31");
  const asked = new URLSearchParams({ domain: "cdn.example.com", startTime: "1431792000", endTime: "1433087999" });
  const top = await (await fetch(`${url}/level3/top?${asked}`, { headers })).json();
  assert.equal(top.err, 0, JSON.stringify(top));
  const first = page.locator("tbody tr").first();
  await first.getByText(top.results[0].path, { exact: true }).waitFor();
  await first.getByText(String(top.results[0].requests), { exact: true }).waitFor();
  await check(page, "top URLs");
  await page.goto("/console/cdn/areas?range=own&start=2015-05-17&end=2015-05-31");
  await check(page, "regions");
  await page.goto("/console/cdn/bills?month=2015-05&rule=daily_peak");
  await check(page, "bills");
  const file = page.waitForEvent("download");
  await page.getByRole("link", { name: "Download as CSV" }).click();
  const download = await file;
  assert.equal(download.suggestedFilename(), "bills-2015-05-daily_peak.csv");
  const csv = readFileSync(await download.path(), "utf8");
  const answer = await fetch(`${url}/level3/bills?month=201505&rule=daily_peak&format=csv`, { headers });
  assert.equal(csv, await answer.text());
  assert.match(csv, /ann@example.com,cdn.example.com,daily_peak,[1-9]/);
  await page.screenshot({ path: join(tour.screenshots, "bills.png"), fullPage: true });
  await page.goto("/console/cdn/jobs?state=done");
  await page.getByRole("row").nth(1).waitFor();
  await check(page, "jobs that are done");
}
