/** @jsxImportSource hono/jsx */
import {raw} from 'hono/html'
import type {Child} from 'hono/jsx'
import {script, stylesheet} from './asset-files.ts'
import {firstPage, pathOf, wayBack} from '../../http/page-rights.ts'
import {plainLine} from '../../../core/text/plain-line.ts'
import type {Regions} from '../data/regions.ts'
import type {Viewer} from '../data/viewer.ts'
import {Line} from './parts.tsx'

const icon =
  'data:image/svg+xml,%3Csvg xmlns=%22http://www.w3.org/2000/svg%22 viewBox=%220 0 16 16%22%3E%3Crect width=%2216%22 height=%2216%22 rx=%224%22 fill=%22%234f46e5%22/%3E%3Cpath d=%22M4 5l3 3-3 3M8.5 11H12%22 stroke=%22white%22 stroke-width=%221.6%22 fill=%22none%22/%3E%3C/svg%3E'

type Frame = {
  title: string
  viewer?: Viewer
  nav?: 'overview' | 'tasks' | 'codebases' | 'new'
  /** Where the script hears what changes on this page. */
  live?: string
  children: Child
}

/** A whole page, as text. `address`: path and query with which the browser has asked for it. */
export type Page = (address: string) => string

export const page =
  ({title, viewer, nav, live, children}: Frame): Page =>
  (address) => {
    const html = (
      <html lang="en">
        <head>
          <meta charset="utf-8" />
          <base href={wayBack(address.replace(/\?.*/s, ''))} />
          <meta name="viewport" content="width=device-width, initial-scale=1" />
          <meta name="color-scheme" content="light dark" />
          <title>{`${plainLine(title, 80)} · a2a-worker`}</title>
          <link rel="icon" href={icon} />
          <link rel="stylesheet" href={stylesheet.path} />
          <script src={script.path} defer />
        </head>
        <body data-live={live}>
          <a class="skip" href={`.${address}#main`}>
            Skip to content
          </a>
          <header class="top">
            <a class="brand" href={firstPage}>
              <svg class="logo" viewBox="0 0 16 16" aria-hidden="true">
                <rect width="16" height="16" rx="4" />
                <path d="M4 5l3 3-3 3M8.5 11H12" />
              </svg>
              a2a-worker
            </a>
            {viewer ? <Navigation viewer={viewer} nav={nav} /> : null}
          </header>
          <p id="lost" class="lost" role="status" hidden />
          <main id="main" tabindex={-1}>
            {children}
          </main>
        </body>
      </html>
    )
    return `<!doctype html>${String(html)}`
  }

function Navigation({viewer, nav}: {viewer: Viewer; nav: Frame['nav']}) {
  const current = (name: Frame['nav']) => (nav === name ? 'page' : undefined)
  return (
    <>
      <nav aria-label="Pages">
        <a href={firstPage} aria-current={current('overview')}>
          Overview
        </a>
        <a href={pathOf('tasks')} aria-current={current('tasks')}>
          Tasks
        </a>
        <a href={pathOf('codebases')} aria-current={current('codebases')}>
          Codebases
        </a>
      </nav>
      <div class="who">
        {viewer.mayManage ? (
          <a class="button primary" href={pathOf('newTask')} aria-current={current('new')}>
            New task
          </a>
        ) : null}
        {viewer.hasSession ? (
          <form method="post" action={pathOf('logout')}>
            <span class="name">
              <Line text={viewer.name || 'no name'} max={24} /> <small>{viewer.scope}</small>
            </span>
            <button class="quiet">Log out</button>
          </form>
        ) : null}
      </div>
    </>
  )
}

type RegionOptions = {
  id: string
  regions: Regions
  class?: string
  /** Screen readers say what is new. */ isSpoken?: boolean
}

/** A part of a page that changes. The script replaces what is in it. */
export function Region({id, regions, class: name, isSpoken = false}: RegionOptions) {
  return (
    <div id={id} class={name} aria-live={isSpoken ? 'polite' : undefined}>
      {raw(regions[id] ?? '')}
    </div>
  )
}

/** What a region contains, as text. */
export const html = (child: Child): string => (child === null || child === undefined ? '' : String(child))
