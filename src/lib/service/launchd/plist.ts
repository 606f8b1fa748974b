import {join} from 'node:path'
import {appDir, nodeFile} from '../machine/layout.ts'
import type {LaunchdLayout} from './launchd-layout.ts'

/** Identifies our own files. */
export const plistHeader = '<!-- Written by `a2a-worker install-service`, which overwrites this file. -->'

/** The usual folders, and that of Homebrew. */
const usualPath = ['/opt/homebrew/bin', '/usr/local/bin', '/usr/bin', '/bin', '/usr/sbin', '/sbin']

/**
 * launchd reads no environment file, and everybody may read a property list. So a shell reads the file, as the user of
 * the worker, and becomes the worker.
 */
const withEnvironment = 'set -a; [ ! -r "$0" ] || . "$0"; exec "$@"'

export type PlistOptions = {layout: LaunchdLayout; drainSeconds: number; paths: readonly string[]}

/** The property list of the service. It contains no secret. */
export function workerPlist({layout, drainSeconds, paths}: PlistOptions): string {
  const {label, scope, user, home, log, configFile, envFile, instance} = layout
  const program = [nodeFile(layout), join(appDir(layout), 'bin/run.js'), 'start', '--no-dashboard']
  const settings = ['--config', configFile, ...(instance === undefined ? [] : ['--name', instance])]
  const content = dict({
    Label: text(label),
    ...(scope === 'system' ? {UserName: text(user)} : {}),
    ProgramArguments: array(['/bin/sh', '-c', withEnvironment, envFile, ...program, ...settings]),
    EnvironmentVariables: dict({HOME: text(home), PATH: text([...paths, ...usualPath].join(':'))}),
    WorkingDirectory: text(home),
    RunAtLoad: '<true/>',
    KeepAlive: '<true/>',
    // Agents outlive a crash of the worker, which adopts them when it is back.
    AbandonProcessGroup: '<true/>',
    // 0 means no limit to launchd, too.
    ExitTimeOut: `<integer>${drainSeconds === 0 ? 0 : drainSeconds + 30}</integer>`,
    ThrottleInterval: '<integer>10</integer>',
    StandardOutPath: text(log),
    StandardErrorPath: text(log),
  })
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
${plistHeader}
<plist version="1.0">
${content}
</plist>
`
}

const escapes: Record<string, string> = {'&': '&amp;', '<': '&lt;', '>': '&gt;'}

const text = (value: string) => `<string>${value.replaceAll(/[&<>]/g, (one) => escapes[one] ?? one)}</string>`

const indented = (lines: string) => lines.replaceAll(/^/gm, '  ')

const array = (values: readonly string[]) =>
  `<array>\n${values.map((value) => indented(text(value))).join('\n')}\n</array>`

const dict = (entries: Record<string, string>) =>
  `<dict>\n${Object.entries(entries)
    .map(([key, value]) => indented(`<key>${key}</key>\n${value}`))
    .join('\n')}\n</dict>`
