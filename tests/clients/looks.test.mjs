// Emails and the page of `explain --html`, as a browser shows them: in every language, under three brands, in light and
// dark, on a phone and on a desk. Nothing is wider than the screen or loaded from anywhere, and axe finds nothing.
import test from 'node:test'
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import axe from 'axe-core'
import { chromium } from 'playwright-core'

const folder = join(import.meta.dirname, 'looks')
const brands = {
  plain: '',
  fern: '[mail.brand]\nname = "Fernwire"\ncolour = "#1b7f4b"\n',
  night: '[mail.brand]\nname = "Nachtwerk & Söhne Transkription"\ncolour = "#ffd400"\n',
}
const links = '[mail.links]\nbuy = "https://shop.example/{org.slug}?pack={pack.code}"\naccount = "https://shop.example/{org.slug}"\n'
const languages = ['en', 'de', 'fr', 'es', 'pt', 'ja']
const kinds = ['runs_out', 'pack_expires', 'subscription_ends', 'trial_ends', 'tier_changes', 'limit_reached_again', 'summary', 'user_limit', 'org_parked', 'purchase_without_pack']
const schemes = ['light', 'dark']
const widths = [375, 700]

let browser
test.before(async () => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  const args = ['--no-sandbox', '--disable-gpu', '--disable-quic']
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args })
})
test.after(() => browser?.close())

/** What periodd says, with some lines of configuration. */
function periodd(name, config, ...words) {
  const file = join(folder, `${name}.toml`)
  writeFileSync(file, config)
  const quiet = { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }
  return execFileSync(process.env.PERIODD, ['--config', file, ...words], quiet)
}

/** Rules about whole pages: an email is a part of the page that a mail program makes. */
const ofPages = { 'landmark-one-main': { enabled: false }, region: { enabled: false } }

/** Looks at a page in every scheme and width; keeps a picture of each. */
async function look(name, html, rules = {}) {
  for (const colorScheme of schemes) {
    for (const width of widths) {
      const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 } })
      const page = await context.newPage()
      const requests = []
      page.on('request', (request) => requests.push(request.url()))
      const file = join(folder, `${name}.html`)
      writeFileSync(file, html)
      await page.goto(`file://${file}`)
      const place = `${name}, ${colorScheme}, ${width} px`
      await page.screenshot({ path: join(folder, `${name}-${colorScheme}-${width}.png`), fullPage: true })
      assert.deepEqual(requests, [`file://${file}`], `${place}: nothing else is loaded`)
      const wide = await page.evaluate(() => document.documentElement.scrollWidth)
      assert.ok(wide <= width, `${place}: ${wide} px wide`)
      // Injected by the driver, which a page's own policy does not stop.
      await page.evaluate(axe.source)
      const { violations } = await page.evaluate((rules) => globalThis.axe.run({ rules }), rules)
      const found = violations.map(({ id, nodes }) => `${id}: ${nodes[0].html} (${nodes[0].failureSummary})`)
      assert.deepEqual(found, [], place)
      await context.close()
    }
  }
}

for (const brand of Object.keys(brands)) {
  for (const language of languages) {
    test(`emails of the brand ${brand} in ${language}`, async () => {
      for (const [threshold, used] of [['80', '84%'], ['90', '93%'], ['100', '104%']]) {
        const preview = ['alerts', 'preview', 'cedar', '--feature', 'minutes_transcribed', '--locale', language, '--html']
        const html = periodd(brand, brands[brand] + links, ...preview, '--set', `used=${used}`, '--threshold', threshold)
        await look(`${brand}-${language}-${threshold}`, html, ofPages)
      }
    })
  }
}

// Every kind in one brand and every language: the brands differ in colours that warnings have shown.
for (const kind of kinds) {
  test(`emails of ${kind} in every language`, async () => {
    for (const language of languages) {
      const html = periodd('night', brands.night + links, 'alerts', 'preview', 'cedar', '--kind', kind, '--locale', language, '--html')
      await look(`${kind}-${language}`, html, ofPages)
    }
  })
}

test('the page that explain writes', async () => {
  const file = join(folder, 'explained.html')
  periodd('explained', '', 'explain', 'cedar', '--html', file)
  await look('explain', readFileSync(file, 'utf8'))
})
