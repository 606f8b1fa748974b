import {startControlPlane} from '../../../src/lib/server/control-plane.ts'

// a control plane as a separate process, which a test can kill: plane-process.ts FILE [PORT]
const [, , database = '', port = '0'] = process.argv
const timings = {leaseMs: Number(process.env['LEASE_MS'] ?? 60_000)}
const plane = await startControlPlane({host: '127.0.0.1', port: Number(port), database, timings})
process.stdout.write(`${plane.url}\n`)
