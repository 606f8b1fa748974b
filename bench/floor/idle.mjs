// The floor of an idle worker: a bare Node process that holds a stream and sends one request each 15 s.
// Usage: node idle.mjs PORT
import http from 'node:http'

const port = process.argv[2]
http.get({port, host: '127.0.0.1', path: '/stream'}, (answer) => answer.resume())
const beat = () => http.request({port, host: '127.0.0.1', path: '/', method: 'POST'}, (answer) => answer.resume()).end('{}')
setInterval(beat, 15_000)
