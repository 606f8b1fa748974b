// The script of the monitor page. The page works without it: this only shows what changes, and follows output.

const lost = document.querySelector('#lost')
const output = document.querySelector('#output')
const follow = document.querySelector('#follow')
const live = document.body.dataset.live

// ------------------------------------------------------------------------------------------- replacing regions

const isDirty = (field) =>
  field.matches('textarea, input:not([type=hidden], [type=radio], [type=checkbox])') &&
  field.value !== field.defaultValue

/** Somebody has typed something there. It must not be lost. */
const isTyped = (node) =>
  node.nodeType === Node.ELEMENT_NODE && [node, ...node.querySelectorAll('textarea, input')].some(isDirty)

const isAlike = (one, other) => one.nodeName === other.nodeName && (one.id || '') === (other.id || '')

/** Makes the children of an element like those of another. Elements that stay keep focus, scroll position and texts. */
function morphChildren(old, fresh) {
  const known = new Map([...old.children].filter(({id}) => id).map((child) => [child.id, child]))
  let at = old.firstChild
  for (const next of [...fresh.childNodes]) {
    const named = next.id ? known.get(next.id) : undefined
    const match = named ?? (at && isAlike(at, next) ? at : undefined)
    if (!match) {
      old.insertBefore(next, at)
      continue
    }
    if (match === at) at = at.nextSibling
    else old.insertBefore(match, at)
    morph(match, next)
  }
  while (at) {
    const rest = at
    at = at.nextSibling
    if (isTyped(rest)) rest.classList.add('kept')
    else rest.remove()
  }
}

function morph(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data
    return
  }
  const isTypedIn = isDirty(old)
  // a person opens and closes details, and chooses in fields
  const own = new Set(old.nodeName === 'DETAILS' ? ['open'] : isTypedIn ? ['value'] : ['checked', 'selected'])
  for (const {name} of [...old.attributes]) if (!own.has(name) && !fresh.hasAttribute(name)) old.removeAttribute(name)
  for (const {name, value} of [...fresh.attributes])
    if (!own.has(name) && old.getAttribute(name) !== value) old.setAttribute(name, value)
  if (!isTypedIn && old.nodeName !== 'SELECT') morphChildren(old, fresh)
}

function replace(id, html) {
  const region = document.getElementById(id)
  if (!region) return
  const template = document.createElement('template')
  template.innerHTML = html
  morphChildren(region, template.content)
}

// ---------------------------------------------------------------------------------------------- following output

const maxItems = 3000
const isAtEnd = () => output.scrollHeight - output.scrollTop - output.clientHeight < 40
const scrollToEnd = () => (output.scrollTop = output.scrollHeight)

function addOutput({html, isAll}) {
  const top = output.scrollTop
  if (isAll) replace('output', html)
  else output.insertAdjacentHTML('beforeend', html)
  while (follow.checked && output.childElementCount > maxItems) output.firstElementChild.remove()
  if (follow.checked) scrollToEnd()
  else output.scrollTop = top
}

if (output && follow) {
  follow.closest('label').hidden = false
  follow.addEventListener('change', () => follow.checked && scrollToEnd())
  output.addEventListener('scroll', () => (follow.checked = isAtEnd()), {passive: true})
  scrollToEnd()
}

// --------------------------------------------------------------------------------------------------- connection

const firstWait = 500
const maxWait = 5000
let source
let wait = firstWait
/** Trying again is useless. */
let isOver = false

function say(text, link, target = '') {
  if (text !== '') document.body.dataset.connection = 'lost'
  lost.replaceChildren(text)
  if (link) {
    const a = document.createElement('a')
    a.href = link
    a.textContent = 'Log in'
    a.target = target
    lost.append(' ', a)
  }
  lost.hidden = text === ''
}

function end(text, link) {
  isOver = true
  say(text, link)
}

function leave() {
  source?.close()
  source = undefined
}

function connect() {
  source = new EventSource(live)
  source.addEventListener('open', () => {
    wait = firstWait
    document.body.dataset.connection = 'live'
    say('')
  })
  source.addEventListener('region', ({data}) => {
    const {id, html} = JSON.parse(data)
    replace(id, html)
  })
  source.addEventListener('output', ({data}) => output && addOutput(JSON.parse(data)))
  source.addEventListener('over', () => {
    leave()
    end('You are logged out.', 'ui/login')
  })
  source.addEventListener('error', () => {
    leave()
    say('Connection lost, trying again…')
    setTimeout(tryAgain, wait * (0.5 + Math.random() / 2))
    wait = Math.min(maxWait, 2 * wait)
  })
}

/** An event source does not say why it was refused, so this asks. */
async function tryAgain() {
  const answer = await fetch(live, {method: 'HEAD', headers: {accept: 'text/event-stream'}}).catch(() => undefined)
  if (answer?.status === 401) return end('You are logged out.', 'ui/login')
  if (answer?.status === 403 || answer?.status === 404) return end('This is not there any more.')
  if (!source) connect()
}

/** A browser has few connections to a host, so a tab that nobody looks at gives its one back after a while. */
const hiddenMs = 60_000
let hiding

function onVisibility() {
  clearTimeout(hiding)
  if (document.hidden) hiding = setTimeout(leave, hiddenMs)
  else if (!source && !isOver) connect()
}

if (live) {
  connect()
  document.addEventListener('visibilitychange', onVisibility)
  addEventListener('pagehide', leave)
  addEventListener('pageshow', ({persisted}) => persisted && connect())
}

document.addEventListener('submit', (event) => {
  const {target} = event
  if (target.method !== 'post') return
  // a second click on a button would be a second request
  if (target.dataset.sent) return event.preventDefault()
  target.dataset.sent = 'yes'
  setTimeout(() => delete target.dataset.sent, 3000)
  if (!target.querySelector('textarea')) return
  event.preventDefault()
  sendText(target)
})

/** A browser forgets what was typed if the answer is an error, so this asks whether there will be one. */
async function sendText(form) {
  const answer = await fetch(location.href, {method: 'HEAD'}).catch(() => undefined)
  if (answer && answer.status !== 401) return form.submit()
  delete form.dataset.sent
  if (answer) say('You are logged out. Log in in another tab, and send this again.', 'ui/login', '_blank')
  else say('The control plane does not answer. What you typed is kept: send it again later.')
}

// a person who has opened a link that logs in need not confirm it
document.querySelector('form[data-sure]')?.requestSubmit()
