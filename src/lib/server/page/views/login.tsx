/** @jsxImportSource hono/jsx */
import {plainLine} from '../../../core/text/plain-line.ts'
import {firstPage, pathOf} from '../../http/page-rights.ts'
import type {Identity} from '../../http/auth.ts'
import type {Viewer} from '../data/viewer.ts'
import {page, type Page} from './layout.tsx'
import {Line} from './parts.tsx'

/** The form with which a browser logs in. `next`: where it wanted to go. */
export const loginPage = ({next, problem}: {next: string; problem?: string}): Page =>
  page({
    title: 'Log in',
    children: (
      <div class="narrow">
        <h1>Log in</h1>
        {problem === undefined ? null : (
          <p class="failure" role="alert">
            {plainLine(problem, 300)}
          </p>
        )}
        <form method="post" action={pathOf('login')} class="card form">
          <input type="hidden" name="next" value={next} />
          <label>
            <span>Token</span>
            <input
              type="password"
              name="token"
              required
              autofocus
              autocomplete="off"
              spellcheck={false}
              aria-describedby="about-token"
            />
          </label>
          <p id="about-token" class="note">
            The token of a worker or client of this control plane. The browser keeps a login for 12 hours, and not the
            token.
          </p>
          <button class="primary">Log in</button>
        </form>
        <p class="note">
          On a machine that has a token already, <code>a2a-worker open</code> logs in without typing it.
        </p>
      </div>
    ),
  })

type Login = {
  code: string
  identity: Pick<Identity, 'name' | 'scope'>
  /** Who is logged in, if it is somebody else. */
  former: Pick<Identity, 'name'> | undefined
  /** The person has asked for this login, so the script presses the button. */
  isSure: boolean
}

/** Asks before a link logs in: another site may have led here, to make a person work in the name of somebody else. */
export const enterPage = ({code, identity, former, isSure}: Login): Page =>
  page({
    title: 'Log in',
    children: (
      <div class="narrow">
        <h1>
          Log in as <Line text={identity.name || 'no name'} max={60} /> <small>{identity.scope}</small>?
        </h1>
        <p>
          {former === undefined ? null : (
            <>
              You are logged in as <Line text={former.name || 'no name'} max={60} />.{' '}
            </>
          )}
          If you did not ask for this login, close this page.
        </p>
        <form method="post" action={pathOf('enter')} data-sure={isSure ? 'yes' : undefined}>
          <input type="hidden" name="code" value={code} />
          <button class="primary">Log in</button>
        </form>
      </div>
    ),
  })

/** A request that was refused. */
export const problemPage = (viewer: Viewer, status: number, problem: string): Page =>
  page({
    ...{title: titleOf(status), viewer},
    children: (
      <div class="narrow">
        <h1>{titleOf(status)}</h1>
        <p class="failure" role="alert">
          {plainLine(problem, 600)}
        </p>
        <p>
          <a href={firstPage}>Overview</a>
          {status === 401 ? (
            <>
              {' · '}
              <a href={pathOf('login')}>Log in</a>
            </>
          ) : null}
        </p>
      </div>
    ),
  })

const titles: Record<number, string> = {
  400: 'Not understood',
  401: 'You are logged out',
  403: 'Not allowed',
  404: 'Not found',
  405: 'Not possible',
  409: 'Not possible now',
  413: 'Too large',
  422: 'Something is missing',
  429: 'Too many requests',
  503: 'Not available now',
}

const titleOf = (status: number) => titles[status] ?? 'That did not work'
