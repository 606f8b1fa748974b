import {chmodSync, mkdirSync, realpathSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {execFile} from 'node:child_process'
import {program, type Finished} from '../cli.ts'
import {startFleet} from '../fleet.ts'
import {repository, until} from '../scratch.ts'
import {assertRunning} from '../workshop.ts'
import {ourArguments} from './our-commands.ts'
import {isPlain, shellCommands} from './shell-line.ts'

const reply = 'The function add subtracted. Now it adds, and the test passes.'

/**
 * The machine that the documentation talks about: a control plane at https://plane.example, a worker of /srv/api and
 * /srv/web, and a task, a session and a dead worker that placeholders name.
 */
export async function startDocsMachine() {
  const fleet = await startFleet({env: {OPENCODE_STUB_TEXT: reply, SHELL: '/bin/bash'}, isPlaneProcess: true})
  const api = repository(join(fleet.path, 'srv/api'))
  repository(join(fleet.path, 'srv/web'))
  for (const [name, text] of Object.entries({
    'prompt.md': 'Fix the failing test\n',
    'token.txt': 'a-token-of-a-worker\n',
  }))
    writeFileSync(join(api, name), text)
  const bin = join(fleet.path, 'bin')
  mkdirSync(bin)
  writeFileSync(join(bin, 'a2a-worker'), `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@"\n`)
  chmodSync(join(bin, 'a2a-worker'), 0o755)
  await fleet.worker('build-host', [`api:${api}`, join(fleet.path, 'srv/web')])
  // the diff of a working tree, and no empty prompt
  writeFileSync(join(api, 'README.md'), 'hello again\n')
  const codebase = await fleet.codebaseId(api)
  const newTask = (where: string) =>
    fleet.http.task(where, {title: 'Fix the failing test', prompt: 'Fix the failing test'})
  const ended = await fleet.ended((await newTask(codebase)).id)

  /** What a placeholder stands for. Lines that change a task or a worker get one of their own. */
  async function taskFor(line: string): Promise<string> {
    if (/\btasks cancel\b/.test(line)) return (await newTask(await fleet.http.codebase('away', '/srv/away'))).id
    if (!/\btasks (retry|say)\b/.test(line)) return ended.id
    return (await fleet.ended((await newTask(codebase)).id)).id
  }
  async function deadWorker(): Promise<string> {
    await fleet.http.codebase('dead-worker', '/srv/dead')
    await fleet.http.call('POST', '/v1/opencode/workers/dead-worker/unregister')
    return 'dead-worker'
  }

  /** A line with what its placeholders stand for. */
  const filled = async (line: string) =>
    line
      .replaceAll('https://plane.example', fleet.url)
      .replaceAll(/(?<=[\s=:"'])\/srv\//g, `${fleet.path}/srv/`)
      .replaceAll(/--port[ =]\d+/g, '--port 0')
      .replaceAll('--host 0.0.0.0', '--host 127.0.0.1')
      .replaceAll(/--health-addr \S+/g, '--health-addr 0')
      .replaceAll(/\bTASK\b/g, line.includes('TASK') ? await taskFor(line) : '')
      .replaceAll(/\bSESSION\b/g, ended.session_id ?? '')
      .replaceAll(/(?<= )ID\b/g, / ID\b/.test(line) ? await deadWorker() : '')
      .replaceAll(/\bCODEBASE\b/g, 'api')

  /** An output as the documentation shows it. */
  const shown = (text: string) =>
    text.replaceAll(fleet.url, 'https://plane.example').replaceAll(realpathSync(fleet.path), '')

  let homes = 0
  /** A new home directory, with which the lines of a block share what they configure. */
  function newShell() {
    homes += 1
    const home = join(fleet.path, `homes/${homes}`)
    mkdirSync(home, {recursive: true})
    const env: Record<string, string> = {
      ...fleet.env,
      HOME: home,
      PATH: `${bin}:${fleet.env['PATH'] ?? ''}`,
      A2A_SERVER_URL: fleet.url,
    }
    return {
      /** Runs a line to its end. Plain lines of ours run in a process that stays. */
      async run(line: string): Promise<Finished> {
        const text = await filled(line)
        const [command] = shellCommands(text)
        if (command?.words[0] === 'export') {
          for (const word of command.words.slice(1)) env[word.split('=')[0] ?? ''] = word.slice(word.indexOf('=') + 1)
          return {code: 0, stdout: '', stderr: ''}
        }
        const args = command && isPlain(text) ? ourArguments(command.words) : undefined
        if (args && command) return await fleet.runHere(args, {cwd: api, env: {...env, ...command.variables}})
        return await inBash(text, api, env)
      },
      /** Starts what a line starts, waits until it serves, and stops it. */
      async start(line: string): Promise<Finished> {
        const [command] = shellCommands(await filled(line))
        const given = ourArguments(command?.words ?? []) ?? []
        const args = given[0] === 'serve' && !given.includes('--port') ? [...given, '--port', '0'] : given
        const own: Record<string, string> = {...env, ...command?.variables, A2A_STATE_DIR: join(home, 'state')}
        if (!args.includes('--server')) delete own['A2A_SERVER_URL']
        const running = fleet.startHere(args, {cwd: api, env: own})
        const serves = () =>
          args[0] === 'serve' ? running.stdout().includes('http') : running.stderr().includes('Task stream connected')
        await until(
          () => serves() || assertRunning(running),
          () => `${line} to serve:\n${running.stderr()}`,
        )
        running.process.kill('SIGTERM')
        return await running.finished
      },
    }
  }
  return {newShell, shown, [Symbol.asyncDispose]: fleet[Symbol.asyncDispose]}
}

const inBash = (text: string, cwd: string, env: Record<string, string>) =>
  new Promise<Finished>((resolve) => {
    const child = execFile('bash', ['-o', 'pipefail', '-c', text], {cwd, env}, (error, stdout, stderr) =>
      resolve({code: error ? Number(error.code ?? -1) : 0, stdout, stderr}),
    )
    child.stdin?.end()
  })
