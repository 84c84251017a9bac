// The dashboard without a daemon: pages from disk are whole in a browser, ask for nothing but files beside them, and show
// the pictures of the pages that are served.
import test from 'node:test'
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import axe from 'axe-core'
import { chromium } from 'playwright-core'

const folder = join(import.meta.dirname, 'files')
const pages = join(folder, 'pages')
const config = join(folder, 'periodd.toml')
// One time for both: what is shown does not move on.
const at = new Date().toISOString()

let browser

test.before(async () => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  writeFileSync(config, `[mail]\ntransport = "directory"\ndirectory = "${folder}/mail"\n`)
  execFileSync(process.env.PERIODD, ['--config', config, 'dashboard', '--at', at, '--html', pages], { stdio: ['ignore', 'ignore', 'inherit'] })
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--disable-quic'] })
})
test.after(() => browser?.close())

const url = (name) => pathToFileURL(join(pages, name)).href

/** A browser of its own, and what it has said and asked for. */
async function visitor(options = {}) {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  const said = []
  page.on('console', (message) => said.push(message.text()))
  page.on('pageerror', (error) => said.push(error.message))
  page.on('request', (request) => { if (!request.url().startsWith(url(''))) said.push(`asked for ${request.url()}`) })
  page.on('requestfailed', (request) => said.push(`not there: ${request.url()}`))
  return { context, page, said }
}

const pictures = (page) => page.locator('svg.chart').evaluateAll((all) => all.map((svg) => svg.outerHTML))

for (const [width, colorScheme] of [[375, 'light'], [1440, 'dark']]) {
  test(`every page from disk, ${width} px, ${colorScheme}`, async () => {
    const { context, page, said } = await visitor({ colorScheme, viewport: { width, height: 900 } })
    const names = readdirSync(pages).filter((name) => name.endsWith('.html'))
    for (const name of ['index.html', 'orgs.html', 'runs.html', 'orgs-cedar.html']) assert.ok(names.includes(name), name)
    for (const name of names) {
      await page.goto(url(name))
      const wide = await page.evaluate(() => document.documentElement.scrollWidth)
      assert.ok(wide <= width, `${name}: ${wide} px wide`)
      // The style sheet beside it is in use.
      assert.notEqual(await page.locator('main').evaluate((main) => getComputedStyle(main).maxWidth), 'none', name)
      if (!['index.html', 'orgs-cedar.html'].includes(name)) continue
      await page.evaluate(axe.source)
      const { violations } = await page.evaluate(() => globalThis.axe.run({ preload: false, runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }))
      assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), [], name)
    }
    assert.deepEqual(said, [])
    await context.close()
  })
}

test('the pictures are those of the pages that are served', async () => {
  const server = spawn(process.env.PERIODD, ['--config', config, 'dashboard', '--at', at], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise((resolve) => server.once('exit', resolve))
  const { context, page } = await visitor({ viewport: { width: 1440, height: 900 } })
  try {
    const { value: link } = await createInterface({ input: server.stdout })[Symbol.asyncIterator]().next()
    await page.goto(link)
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByRole('button', { name: 'Log out' }).waitFor()
    for (const [path, name] of [['/', 'index.html'], ['/orgs/cedar', 'orgs-cedar.html']]) {
      await page.goto(new URL(path, link).href)
      const served = await pictures(page)
      await page.goto(url(name))
      assert.deepEqual(await pictures(page), served, name)
    }
    await page.goto(url('index.html'))
    await page.getByRole('link', { name: 'Orgs' }).click()
    await page.getByRole('link', { name: 'cedar', exact: true }).click()
    assert.equal(page.url(), url('orgs-cedar.html'))
  } finally {
    server.kill('SIGINT')
    await context.close()
  }
  assert.equal(await ended, 0)
})
