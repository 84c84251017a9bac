// The dashboard, as a browser shows it: on a phone, a tablet and a desk, in light and dark, with and without a script.
// No message on the console, no request to another host, nothing wider than the screen, and axe finds nothing.
import test from 'node:test'
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import axe from 'axe-core'
import { chromium } from 'playwright-core'

const folder = join(import.meta.dirname, 'dashboard')
const pages = { now: '/', orgs: '/orgs', found: '/orgs?q=e', org: '/orgs/cedar', usage: '/usage', drift: '/drift', emails: '/emails', sent: '/emails?state=sent', system: '/system', runs: '/runs', week: '/runs?span=week', act: '/act/rollover?org=cedar&early=true', pause: '/act/pause?job=retention', none: '/orgs/nobody' }

let address, browser, chief, config, daemon

/** A port that nobody listens on now. */
function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

function periodd(...words) {
  return execFileSync(process.env.PERIODD, ['--config', config, ...words], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
}

async function until(isSo, what) {
  for (let tried = 0; tried < 600; tried += 1) {
    if (await isSo()) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  assert.fail(`${what}: not within half a minute`)
}

async function answers() {
  try { return (await fetch(`${address}/healthz`)).ok } catch { return false }
}

async function start() {
  daemon = spawn(process.env.PERIODD, ['--config', config, 'run'], { stdio: ['ignore', 'ignore', 'inherit'] })
  await until(answers, 'the daemon answers')
}

function stop() {
  const ended = new Promise((resolve) => daemon.once('exit', resolve))
  daemon.kill('SIGTERM')
  return ended
}

test.before(async () => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  const port = await freePort()
  address = `http://127.0.0.1:${port}`
  config = join(folder, 'periodd.toml')
  writeFileSync(config, `[http]\nenabled = true\nactions = true\nlisten = "127.0.0.1:${port}"\n[mail]\ntransport = "directory"\ndirectory = "${folder}/mail"\n`)
  await start()
  chief = periodd('tokens', 'add', 'chief', '--scope', 'read', '--scope', 'admin').trim()
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--disable-quic'] })
})
test.after(async () => {
  await browser?.close()
  if (daemon) await stop()
})

/** A browser of its own, and what it has said and asked for. */
async function visitor(options = {}) {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  const said = []
  page.on('console', (message) => said.push(message.text()))
  page.on('pageerror', (error) => said.push(error.message))
  page.on('request', (request) => { if (!request.url().startsWith(`${address}/`)) said.push(`asked for ${request.url()}`) })
  return { context, page, said }
}

async function logIn(page) {
  await page.goto(periodd('dashboard', 'login').trim())
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.getByRole('button', { name: 'Log out' }).waitFor()
}

/** With a token that may act, which a link does not. */
async function logInToAct(page) {
  await page.goto(`${address}/login`)
  await page.getByLabel('Or paste a token with the scope read').fill(chief)
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.getByRole('button', { name: 'Log out' }).waitFor()
}

for (const javaScriptEnabled of [true, false]) {
  for (const colorScheme of ['light', 'dark']) {
    for (const width of [375, 768, 1440]) {
      const place = `${width} px, ${colorScheme}, ${javaScriptEnabled ? 'with' : 'without'} a script`
      test(place, async () => {
        const { context, page, said } = await visitor({ javaScriptEnabled, colorScheme, viewport: { width, height: 900 } })
        await logInToAct(page)
        for (const [name, path] of Object.entries(pages)) {
          said.length = 0
          const answer = await page.goto(address + path)
          const isFound = answer.status() === 200
          assert.equal(isFound, name !== 'none', `${name}: ${answer.status()}`)
          const script = javaScriptEnabled ? 'script' : 'plain'
          await page.screenshot({ path: join(folder, `${name}-${width}-${colorScheme}-${script}.png`), fullPage: true })
          // A browser itself says of a page that it is not there.
          const told = said.filter((text) => isFound || !text.includes('404'))
          assert.deepEqual(told, [], `${name}, ${place}`)
          const wide = await page.evaluate(() => document.documentElement.scrollWidth)
          assert.ok(wide <= width, `${name}, ${place}: ${wide} px wide`)
          if (!javaScriptEnabled) continue
          await page.evaluate(axe.source)
          const { violations } = await page.evaluate(() => globalThis.axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }))
          const found = violations.map(({ id, nodes }) => `${id}: ${nodes[0].html} (${nodes[0].failureSummary})`)
          assert.deepEqual(found, [], `${name}, ${place}`)
          if (width !== 375) continue
          // Text of twice the size fits still.
          await page.evaluate(() => { document.documentElement.style.fontSize = '200%' })
          const zoomed = await page.evaluate(() => document.documentElement.scrollWidth)
          assert.ok(zoomed <= width, `${name}, ${place}, zoomed: ${zoomed} px wide`)
        }
        await context.close()
      })
    }
  }
}

for (const javaScriptEnabled of [true, false]) {
  test(`a customer is found and read by keys alone, ${javaScriptEnabled ? 'with' : 'without'} a script`, async () => {
    const { context, page, said } = await visitor({ javaScriptEnabled, viewport: { width: 1440, height: 900 } })
    await page.goto(periodd('dashboard', 'login').trim())
    /** Tab by tab, to what has that name. */
    const to = async (name) => {
      for (let tabs = 0; tabs < 80; tabs += 1) {
        await page.keyboard.press('Tab')
        const here = await page.evaluate(() => document.activeElement.innerText || document.activeElement.id)
        if (here === name) return
      }
      assert.fail(`${name} is not reached`)
    }
    await to('Log in')
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'Log out' }).waitFor()
    await to('Orgs')
    await page.keyboard.press('Enter')
    await page.waitForURL('**/orgs')
    await to('q')
    await page.keyboard.type('cat@cedar.example')
    await page.keyboard.press('Enter')
    await page.waitForURL('**/orgs?q=cat%40cedar.example')
    await to('cedar')
    await page.keyboard.press('Enter')
    await page.waitForURL('**/orgs/cedar')
    assert.equal(await page.getByRole('heading', { level: 1 }).innerText(), 'Cedar')
    assert.match(await page.locator('main').innerText(), /One more: (allowed|refused)/)
    assert.deepEqual(said, [])
    await to('Log out')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Log in' }).waitFor()
    await page.goto(`${address}/orgs/cedar`)
    await page.getByRole('heading', { name: 'Log in' }).waitFor()
    await context.close()
  })
}

test('what the script does: keys, times, copying, figures that renew themselves', async () => {
  const options = { viewport: { width: 1440, height: 900 }, timezoneId: 'Asia/Kolkata', permissions: ['clipboard-read', 'clipboard-write'] }
  const { context, page, said } = await visitor(options)
  await logIn(page)
  await page.keyboard.press('g')
  await page.keyboard.press('o')
  await page.waitForURL('**/orgs')
  await page.keyboard.press('j')
  await page.keyboard.press('j')
  await page.keyboard.press('k')
  await page.keyboard.press('Enter')
  await page.waitForURL('**/orgs/acme')
  await page.keyboard.press('/')
  await page.waitForURL('**/orgs')
  await page.keyboard.press('?')
  await page.getByRole('dialog', { name: 'Keyboard' }).waitFor()
  await page.getByLabel('Use these keys').uncheck()
  await page.getByRole('button', { name: 'Close' }).click()
  await page.keyboard.press('g')
  await page.keyboard.press('r')
  assert.equal(new URL(page.url()).pathname, '/orgs')

  await page.goto(`${address}/orgs/cedar`)
  const time = page.locator('#period time').first()
  const asShown = await time.innerText()
  assert.match(asShown, /^\d{4}-\d{2}-01 00:00 EES?T$/)
  const isIn = (zone) => until(async () => zone.test(await time.innerText()), `the page is in ${zone}`)
  await page.getByLabel('Times').selectOption(await page.locator('#times option').last().getAttribute('value'))
  await isIn(/ IST$/)
  await page.goto(`${address}/runs`)
  assert.match(await page.locator('#as-of').innerText(), / IST \(Asia\/(Kolkata|Calcutta)\)$/)
  await page.goto(`${address}/orgs/cedar`)
  assert.match(await time.innerText(), / IST$/)
  await page.getByLabel('Times').selectOption('utc')
  await isIn(/ UTC$/)
  await page.getByLabel('Times').selectOption('org')
  await isIn(/ EES?T$/)
  assert.equal(await time.innerText(), asShown)

  await page.getByRole('button', { name: /^Copy: .*explain cedar$/ }).click()
  await until(async () => /explain cedar$/.test(await page.evaluate(() => navigator.clipboard.readText())), 'the command is copied')

  // A use is seen without a reload, and what is open and in focus stays so.
  const used = async () => (await page.locator('dt', { hasText: /^Used$/ }).first().locator('xpath=following-sibling::dd').innerText())
  const before = await used()
  const opened = await page.locator('details').nth(1).getAttribute('id')
  await page.locator(`#${opened} summary`).click()
  const focused = () => page.evaluate(() => document.activeElement.closest('details')?.id)
  const feature = (await page.locator('.card h2').nth(1).innerText()).trim()
  periodd('usage', 'record', '--org', 'cedar', '--feature', feature, '--quantity', '1')
  await until(async () => (await used()) !== before, 'the use is shown')
  assert.ok(await page.locator(`#${opened}`).evaluate((details) => details.open))
  assert.equal(await focused(), opened)
  assert.match(await page.locator('#as-of').innerText(), /^Live\./)

  // Without a server it says since when; with one again it goes on.
  await stop()
  await until(async () => /Not live since/.test(await page.locator('#as-of').innerText()), 'it is not live')
  assert.ok(await page.evaluate(() => document.body.classList.contains('stale')))
  await start()
  await until(async () => /^Live\./.test(await page.locator('#as-of').innerText()), 'it is live again')
  assert.deepEqual(said.filter((text) => !/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|status of 503/.test(text)), [])
  await context.close()
})

test('times on another clock, without a script', async () => {
  const { context, page, said } = await visitor({ javaScriptEnabled: false, viewport: { width: 1440, height: 900 } })
  await logIn(page)
  await page.goto(`${address}/orgs/cedar`)
  const time = page.locator('#period time').first()
  assert.match(await time.innerText(), / EES?T$/)
  await page.getByLabel('Times').selectOption('utc')
  await page.getByRole('button', { name: 'Show' }).click()
  assert.equal(page.url(), `${address}/orgs/cedar`)
  assert.match(await time.innerText(), / UTC$/)
  assert.deepEqual(said, [])
  await context.close()
})

/** How much of the first feature an org's page says is used. */
const used = (page) => page.locator('dt', { hasText: /^Used$/ }).first().locator('xpath=following-sibling::dd').innerText()
const state = (page) => page.locator('#as-of .state').innerText()

/** Runs statements on the database, or beside it. */
function sql(statement, database = process.env.CLIENTS_DATABASE) {
  const words = ['-X', '-q', '-At', '-v', 'ON_ERROR_STOP=1', '-h', process.env.PERIODD_TEST_SERVER, '-U', 'postgres', '-d', database, '-c', statement]
  return execFileSync(join(process.env.PERIODD_TEST_BINARIES, 'psql'), words, { encoding: 'utf8' }).trim()
}

/** A use by SQL of the feature that an org's page shows first. */
async function useOne(page) {
  const feature = (await page.locator('.card h2').nth(1).innerText()).trim()
  sql(`select record_usage(id, '${feature}', 1) from organizations where slug = 'cedar'`)
}

/** Orgs that the server is listened to about, each stream for itself. */
async function listened() {
  const metrics = await (await fetch(`${address}/metrics`)).text()
  return Number(metrics.match(/^periodd_http_streams (\d+)$/m)[1])
}

test('eight tabs have one stream, and each is live', async () => {
  const { context, page, said } = await visitor({ viewport: { width: 1440, height: 900 } })
  const streams = new Set()
  context.on('request', (request) => { if (request.url().includes('/live?')) streams.add(request) })
  for (const ended of ['requestfinished', 'requestfailed']) context.on(ended, (request) => streams.delete(request))
  await logIn(page)
  await page.goto(`${address}/orgs/cedar`)
  const tabs = [page]
  for (const path of ['/orgs/cedar', '/orgs/cedar', '/orgs/acme', '/', '/orgs', '/runs', '/orgs/cedar']) {
    const tab = await context.newPage()
    await tab.goto(address + path)
    tabs.push(tab)
  }
  const isOne = async () => streams.size === 1 && [...streams][0].url().endsWith(`pages=${encodeURIComponent('acme,all,cedar')}`)
  await until(isOne, 'there is one stream for all')
  await until(async () => (await listened()) === 2, 'each org is listened to once')
  const cedars = [0, 1, 2, 7].map((number) => tabs[number])
  const allShow = (before) => until(async () => (await Promise.all(cedars.map(used))).every((now) => now !== before), 'the use is everywhere')
  let before = await used(page)
  await useOne(page)
  await allShow(before)
  // Who has the stream goes; another one takes it.
  const leader = await page.evaluate(async () => (await navigator.locks.query()).held.find(({ name }) => name === 'periodd stream').clientId)
  const ids = await Promise.all(tabs.map((tab) => tab.evaluate(() => new Promise((resolve) => {
    navigator.locks.request(`who ${Math.random()}`, async ({ name }) => resolve((await navigator.locks.query()).held.find((lock) => lock.name === name).clientId))
  }))))
  const leads = tabs[ids.indexOf(leader)]
  await leads.close()
  if (cedars.includes(leads)) cedars.splice(cedars.indexOf(leads), 1)
  await until(async () => streams.size === 1, 'another tab has the stream')
  before = await used(cedars[0])
  await useOne(cedars[0])
  await allShow(before)
  // Those that are hidden have none.
  const open = tabs.filter((tab) => tab !== leads)
  const hide = (tab, isHidden) => tab.evaluate((isHidden) => {
    Object.defineProperty(document, 'hidden', { value: isHidden, configurable: true })
    document.dispatchEvent(new Event('visibilitychange'))
  }, isHidden)
  await Promise.all(open.map((tab) => hide(tab, true)))
  await until(async () => (await listened()) === 0, 'nobody listens')
  before = await used(cedars[0])
  await useOne(cedars[0])
  await hide(cedars[0], false)
  await until(async () => (await used(cedars[0])) !== before, 'it is seen when the tab is')
  await until(async () => (await listened()) === 1, 'it listens again')
  assert.deepEqual(said, [])
  await context.close()
})

test('a rollover passes, the reader pauses, the database is away', async () => {
  const { context, page } = await visitor({ viewport: { width: 1440, height: 900 } })
  await logIn(page)
  await page.goto(`${address}/orgs/cedar`)
  await until(async () => (await state(page)) === 'Live.', 'it is live')
  const start = () => page.locator('#period time').first().getAttribute('datetime')
  let before = await start()
  await page.locator('details summary').nth(1).click()
  periodd('rollover', '--org', 'cedar', '--early')
  await until(async () => (await start()) !== before, 'the new period is shown')
  await page.keyboard.press('r')
  assert.equal(await state(page), 'Paused.')
  before = await used(page)
  await useOne(page)
  await page.keyboard.press('r')
  await until(async () => (await used(page)) !== before, 'it goes on')
  const database = process.env.CLIENTS_DATABASE
  sql(`alter database ${database} with allow_connections false`, 'postgres')
  try {
    sql(`select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = '${database}'`, 'postgres')
    await until(async () => /Not live since/.test(await state(page)), 'it is not live')
    assert.ok(await page.evaluate(() => document.body.classList.contains('stale')))
  } finally {
    sql(`alter database ${database} with allow_connections true`, 'postgres')
  }
  await until(async () => (await state(page)) === 'Live.', 'it is live again')
  await context.close()
})

test('a page whose clock jumps goes on', async () => {
  const { context, page } = await visitor({ viewport: { width: 1440, height: 900 } })
  // By looking alone, as where no stream can be had.
  await page.addInitScript(() => { delete globalThis.BroadcastChannel })
  await logIn(page)
  await page.goto(`${address}/orgs/cedar`)
  const before = await used(page)
  await page.evaluate(() => {
    const right = Date.now
    Date.now = () => right() - 3_600_000
  })
  await useOne(page)
  await until(async () => (await used(page)) !== before, 'it is seen')
  assert.equal(await state(page), 'Live.')
  await context.close()
})
