// Loaded before a worker. While the file exists, the worker kills itself with -9 in the middle of the line with which it
// sends the prompt to an agent.
import fs from 'node:fs'
import {syncBuiltinESMExports} from 'node:module'

const file = process.env.PROOF_DIE_IN_WRITE ?? ''
const write = fs.writeSync

fs.writeSync = (fd, bytes, ...rest) => {
  const isPrompt = Buffer.isBuffer(bytes) && bytes.includes('"method":"session/prompt"')
  if (isPrompt && fs.existsSync(file) && fs.fstatSync(fd).isFIFO()) {
    fs.unlinkSync(file)
    write(fd, bytes.subarray(0, bytes.length / 2))
    process.kill(process.pid, 'SIGKILL')
  }
  return write(fd, bytes, ...rest)
}
syncBuiltinESMExports()
