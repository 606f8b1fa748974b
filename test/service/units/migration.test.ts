import {readdirSync} from 'node:fs'
import {expect, test} from 'vitest'
import {scratchMachine} from '../../support/service.ts'

const folder = '/etc/systemd/system'
const unit = `${folder}/a2a-agent-worker.service`

const python = (service: string) => `[Unit]
Description=A worker in Python

[Service]
Type=simple
User=a2a-worker
${service}
EnvironmentFile=-/etc/a2a-worker/env

[Install]
WantedBy=multi-user.target
`

const command = '/opt/a2a-worker/venv/bin/python /opt/a2a-worker/worker.py --config /etc/a2a-worker/config.json'

test('settings of a Python unit keep their precedence: the server goes to the unit, the rest to the environment file', async () => {
  const machine = scratchMachine()
  const text = python(`Environment=A2A_SERVER_URL=https://plane.example
Environment=A2A_WORKER_NAME=%H "A2A_POLL_INTERVAL=7" 'NOTE=a "b" 100%%'
Environment=PYTHONUNBUFFERED=1 WHERE=%h
ExecStart=${command}`)
  const config =
    '{"server_url": "https://old.example", "worker_name": "dev-vm", "codebases": [{"path": "/home/me/app"}]}'
  machine.write(unit, text)
  machine.write('/etc/a2a-worker/config.json', config)
  machine.write('/etc/a2a-worker/env', 'HOME=/opt/a2a-worker\nA2A_POLL_INTERVAL=9')
  const {warnings, lines} = await machine.install()
  expect(machine.read('/etc/a2a-worker/config.json')).toBe(config)
  expect(machine.read('/etc/a2a-worker/env')).toBe(
    `HOME=/opt/a2a-worker\nA2A_POLL_INTERVAL=9\n\n# From ${unit}, the unit of the Python worker\nA2A_WORKER_NAME=box\nNOTE="a \\"b\\" 100%"\n`,
  )
  const dropIn = machine.read(`${unit}.d/machine.conf`)
  expect(dropIn).toContain('Environment=A2A_SERVER_URL=https://plane.example\n')
  expect(dropIn).toContain('BindPaths=-/home/me/app\nBindPaths=-/opt/a2a-worker/.local\n')
  expect(machine.read(`${unit}.python`)).toBe(text)
  expect(machine.read(unit)).toContain('Type=notify')
  expect(warnings).toContain('WHERE=%h was not taken over')
  expect(lines.join('\n')).toContain(
    `To restore it: a2a-worker uninstall-service && mv ${unit}.python ${unit} && systemctl daemon-reload && systemctl enable --now a2a-agent-worker`,
  )
})

test('flags of its command line override its environment and its configuration file', async () => {
  const machine = scratchMachine()
  machine.write('/srv/conf/worker.json', '{"capabilities": ["opencode"], "max_concurrent_tasks": 3}')
  machine.write(
    unit,
    python(`Environment=A2A_WORKER_NAME=other A2A_SERVER_URL=https://other.example
ExecStart=/usr/bin/python3 /srv/worker.py -c /srv/conf/worker.json --name mine -b app:/srv/app \\
  -b /srv/web --server https://plane.example --poll-interval=8 -i 6`),
  )
  await machine.install()
  expect(JSON.parse(machine.read('/etc/a2a-worker/config.json'))).toEqual({
    capabilities: ['opencode'],
    max_concurrent_tasks: 3,
    worker_name: 'mine',
    poll_interval: 6,
    codebases: [
      {name: 'app', path: '/srv/app'},
      {name: 'web', path: '/srv/web'},
    ],
  })
  expect(machine.read('/etc/a2a-worker/env')).not.toContain('A2A_WORKER_NAME=')
  expect(machine.read(`${unit}.d/machine.conf`)).toContain('Environment=A2A_SERVER_URL=https://plane.example\n')
})

test('drop-ins of its unit count, and are moved away with it', async () => {
  const machine = scratchMachine()
  machine.write(unit, python(`Environment=A2A_SERVER_URL=https://old.example\nExecStart=${command}`))
  machine.write(
    `${unit}.d/override.conf`,
    `[Service]\nEnvironment=\nEnvironment=A2A_SERVER_URL=https://plane.example\nEnvironmentFile=/etc/default/more\n`,
  )
  const {warnings, lines} = await machine.install()
  expect(machine.read(`${unit}.d/machine.conf`)).toContain('A2A_SERVER_URL=https://plane.example\n')
  expect(readdirSync(machine.path(`${unit}.d`)).sort()).toEqual(['machine.conf', 'override.conf.python'])
  expect(warnings).toContain(
    `${unit}.d/override.conf also reads /etc/default/more; copy what you need to /etc/a2a-worker/env`,
  )
  expect(lines.join('\n')).toContain(`&& mv ${unit}.d/override.conf.python ${unit}.d/override.conf &&`)
})

test('a second installation changes nothing, and a second migration keeps the first backup', async () => {
  const machine = scratchMachine()
  const text = python(`Environment=A2A_SERVER_URL=https://plane.example\nExecStart=${command}`)
  machine.write(unit, text)
  await machine.install()
  expect((await machine.install()).changes).toEqual([])
  machine.write(unit, `${text}# again\n`)
  await machine.install()
  expect(machine.read(`${unit}.python`)).toBe(text)
  expect(machine.read(`${unit}.python.2`)).toBe(`${text}# again\n`)
})
