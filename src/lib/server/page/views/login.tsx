/** @jsxImportSource hono/jsx */
import {plainLine} from '../../../core/text/plain-line.ts'
import {pathOf} from '../../http/page-rights.ts'
import type {Viewer} from '../data/viewer.ts'
import {page} from './layout.tsx'

/** The form with which a browser logs in. `next`: where it wanted to go. */
export const loginPage = ({next, problem}: {next: string; problem?: string}): string =>
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

/** After a link that logs in once. */
export const enteredPage = (): string =>
  page({
    ...{title: 'Logged in', refresh: '/'},
    children: (
      <div class="narrow">
        <h1>Logged in</h1>
        <p>
          <a href="/">Go on to the overview</a>
        </p>
      </div>
    ),
  })

/** A request that was refused. */
export const problemPage = (viewer: Viewer, status: number, problem: string): string =>
  page({
    ...{title: titleOf(status), viewer},
    children: (
      <div class="narrow">
        <h1>{titleOf(status)}</h1>
        <p class="failure" role="alert">
          {plainLine(problem, 600)}
        </p>
        <p>
          <a href="/">Overview</a>
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
