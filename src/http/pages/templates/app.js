// What the pages do where a browser runs scripts: the reader's own zone, commands to copy, keys,
// and figures that renew themselves. Every page is whole without it.
'use strict'

const kept = (name) => { try { return localStorage.getItem(name) ?? '' } catch { return '' } }
const keep = (name, value) => { try { localStorage.setItem(name, value) } catch { /* for this page alone */ } }
const all = (selector, within = document) => [...within.querySelectorAll(selector)]
const one = (selector, within = document) => within.querySelector(selector)
const make = (tag, text, more = {}) => Object.assign(document.createElement(tag), { textContent: text }, more)

// Times: the server shows them on the clock that was chosen; only a script knows the reader's own zone.

function offerOwnZone(times) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone
  const known = all('option', times).map((option) => option.value)
  if (zone && !known.includes(zone)) times.append(make('option', `in your zone, ${zone}`, { value: zone }))
  times.addEventListener('change', () => times.form.requestSubmit())
}

// Commands.

function addCopying(within) {
  for (const command of all('.command', within)) {
    if (one('button', command)) continue
    const button = make('button', 'Copy', { type: 'button', className: 'quiet' })
    const text = one('code', command).textContent
    button.setAttribute('aria-label', `Copy: ${text}`)
    button.addEventListener('click', async () => {
      let copied = true
      try { await navigator.clipboard.writeText(text) } catch { copied = false }
      if (!copied) getSelection().selectAllChildren(one('code', command))
      button.textContent = copied ? 'Copied' : 'Selected'
      setTimeout(() => { button.textContent = 'Copy' }, 2000)
    })
    command.append(button)
  }
}

// Figures that renew themselves: changed blocks are replaced in place. What is in use stays.

const EVERY = 10_000
const SELDOM = 60_000
let isPaused = false
let hasFailedSince = ''
let isLooking = false
let looksAgain = false
let lookedAt = 0

function isSelected(block) {
  const selection = getSelection()
  return !selection.isCollapsed && block.contains(selection.anchorNode)
}

// What stands for the same thing before and after: blocks by their ids, rows by what they lead to.
const keyOf = (node) => node.id || (node.nodeName === 'TR' && one('a', node)?.getAttribute('href')) || ''

// Makes a node what a fresh one is, and keeps what is the same: so focus, open details and scrolling stay.
function renew(node, fresh) {
  if (node.nodeType !== Node.ELEMENT_NODE) {
    if (node.data !== fresh.data) node.data = fresh.data
    return
  }
  if (node.matches('.command') && one('code', node).textContent === one('code', fresh).textContent) return
  for (const name of node.getAttributeNames()) {
    if (!fresh.hasAttribute(name) && name !== 'open' && !name.startsWith('data-')) node.removeAttribute(name)
  }
  for (const { name, value } of fresh.attributes) {
    if (name !== 'open' && node.getAttribute(name) !== value) node.setAttribute(name, value)
  }
  let at = node.firstChild
  for (const next of [...fresh.childNodes]) {
    const key = keyOf(next)
    const same = key ? [...node.childNodes].find((child) => keyOf(child) === key) : at
    if (same?.nodeName !== next.nodeName || keyOf(same) !== key) {
      node.insertBefore(next, at)
      continue
    }
    if (same === at) at = at.nextSibling
    else node.insertBefore(same, at)
    renew(same, next)
  }
  while (at) {
    const gone = at
    at = at.nextSibling
    gone.remove()
  }
}

function problems() {
  return all('.findings .problem > div > p:first-child').map((problem) => problem.textContent)
}

function say(state, isLate) {
  const place = one('#as-of .state')
  place.textContent = state
  place.classList.toggle('late', isLate)
  place.hidden = false
  document.body.classList.toggle('stale', isLate)
}

async function look() {
  if (isPaused || document.hidden) return
  looksAgain = isLooking
  if (isLooking) return
  isLooking = true
  lookedAt = performance.now()
  try {
    const answer = await fetch(location.href, { headers: { accept: 'text/html' }, redirect: 'manual' })
    if (answer.type === 'opaqueredirect') return location.reload()
    if (!answer.ok) throw new Error(answer.statusText)
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html')
    const known = problems()
    for (const block of all('[data-block]')) {
      const fresh = page.getElementById(block.id)
      if (!fresh || isSelected(block) || block.dataset.html === fresh.innerHTML) continue
      block.dataset.html = fresh.innerHTML
      renew(block, fresh)
      addCopying(block)
    }
    one('#as-of time').replaceWith(one('#as-of time', page))
    hasFailedSince = ''
    say('Live.', false)
    const fresh = problems().filter((problem) => !known.includes(problem))
    if (fresh.length) one('#said').textContent = `New problem: ${fresh.join('; ')}`
  } catch {
    hasFailedSince ||= one('#as-of time').textContent
    say(`Not live since ${hasFailedSince}.`, true)
  } finally {
    isLooking = false
    // What moves without end is looked at once a second.
    if (looksAgain) setTimeout(look, 1_000)
  }
}

// The stream that says which pages have changed: one for all pages of this browser, held by the one that has the lock.

const key = location.pathname.match(/^\/orgs\/([^/]+)/)?.[1] ?? 'all'
const channel = 'BroadcastChannel' in window ? new BroadcastChannel('periodd') : null
let heardAt = -Infinity
let leave = () => {}
let count = () => {}

function hear({ live, changed, lost, came }) {
  if (came) count()
  if (changed === key) look()
  if (live?.includes(key)) {
    const isNew = performance.now() - heardAt > EVERY
    heardAt = performance.now()
    if (isNew) look()
  }
  if (lost && heardAt > 0) {
    heardAt = -Infinity
    look()
  }
}

function tell(message) {
  channel.postMessage(message)
  hear(message)
}

/** Holds the stream until this page is hidden. */
async function lead(hidden) {
  let stream
  let pages = ''
  let isOver = false
  count = async () => {
    const { held } = await navigator.locks.query()
    if (isOver) return
    const open = held.map(({ name }) => name).filter((name) => name.startsWith('periodd page '))
    const wanted = [...new Set(open.map((name) => name.slice(13)))].sort().join(',')
    if (wanted === pages && stream?.readyState !== EventSource.CLOSED) return
    pages = wanted
    stream?.close()
    stream = new EventSource(`/live?pages=${encodeURIComponent(pages)}`)
    stream.addEventListener('live', ({ data }) => tell({ live: data.split(' ') }))
    stream.addEventListener('changed', ({ data }) => tell({ changed: data }))
    stream.addEventListener('error', () => tell({ lost: true }))
  }
  const counting = setInterval(count, 5_000)
  count()
  await hidden
  isOver = true
  clearInterval(counting)
  stream?.close()
}

function attend() {
  leave()
  if (!channel || !navigator.locks || document.hidden) return
  const hidden = new Promise((resolve) => { leave = resolve })
  const waiting = new AbortController()
  hidden.then(() => waiting.abort())
  navigator.locks.request(`periodd page ${key}`, { mode: 'shared' }, () => { tell({ came: true }); return hidden })
  navigator.locks.request('periodd stream', { signal: waiting.signal }, () => lead(hidden)).catch(() => {})
}

function pause() {
  isPaused = !isPaused
  say(isPaused ? 'Paused.' : 'Live.', false)
  if (!isPaused) look()
}

// Keys.

const pages = { n: '/', o: '/orgs', u: '/usage', r: '/runs', d: '/drift', e: '/emails', s: '/system' }
let goes = false

function step(by) {
  const rows = all('main tbody tr').filter((row) => one('a', row))
  if (!rows.length) return
  const at = rows.findIndex((row) => 'at' in row.dataset)
  const next = rows[Math.min(Math.max(at + by, 0), rows.length - 1)]
  if (at >= 0) delete rows[at].dataset.at
  next.dataset.at = ''
  one('a', next).focus()
  next.scrollIntoView({ block: 'nearest' })
}

function search() {
  const field = one('[data-search]')
  if (field) { field.focus(); field.select() } else location.assign('/orgs')
}

function help() {
  if (one('dialog')) return one('dialog').showModal()
  const dialog = document.createElement('dialog')
  dialog.setAttribute('aria-labelledby', 'keys-title')
  dialog.append(make('h2', 'Keyboard', { id: 'keys-title' }))
  const list = document.createElement('dl')
  for (const [key, does] of [['/', 'find a customer'], ['g n', 'now'], ['g o', 'orgs'], ['g u', 'usage'], ['g r', 'runs'],
    ['g d', 'drift'], ['g e', 'emails'], ['g s', 'system'], ['j k', 'next and previous row'], ['r', 'pause, or go on'], ['?', 'these keys']]) {
    const term = document.createElement('dt')
    term.append(make('kbd', key))
    list.append(term, make('dd', does))
  }
  const label = document.createElement('label')
  const box = make('input', '', { type: 'checkbox', checked: kept('keys') !== 'off' })
  box.addEventListener('change', () => keep('keys', box.checked ? 'on' : 'off'))
  label.append(box, ' Use these keys')
  const close = make('button', 'Close', { className: 'quiet' })
  close.addEventListener('click', () => dialog.close())
  dialog.append(list, label, close)
  document.body.append(dialog)
  dialog.showModal()
}

document.addEventListener('keydown', (event) => {
  const isTyping = event.target.closest('input, select, textarea, dialog')
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || kept('keys') === 'off') return
  const does = goes
    ? () => { if (pages[event.key]) location.assign(pages[event.key]) }
    : { '/': search, '?': help, j: () => step(1), k: () => step(-1), r: pause, g: () => {} }[event.key]
  goes = !goes && event.key === 'g'
  if (!does) return
  event.preventDefault()
  does()
})

// Begins.

for (const block of all('[data-block]')) block.dataset.html = block.innerHTML
addCopying(document)
if (one('#times')) {
  offerOwnZone(one('#times'))
  one('#keys').hidden = false
  one('#keys').addEventListener('click', help)
}
if (one('[data-renews]')) {
  lookedAt = performance.now()
  setInterval(() => {
    const isLive = performance.now() - heardAt < EVERY
    if (performance.now() - lookedAt >= (isLive ? SELDOM : EVERY) - 1_000) look()
  }, EVERY)
  channel?.addEventListener('message', ({ data }) => hear(data))
  document.addEventListener('visibilitychange', () => { attend(); look() })
  attend()
}
