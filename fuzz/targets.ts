import type {Target} from './target.ts'
import {answers} from './targets/answers.ts'
import {broker} from './targets/broker.ts'
import {configFiles} from './targets/config.ts'
import {journal} from './targets/journal.ts'
import {opencode} from './targets/opencode.ts'
import {operations} from './targets/operations.ts'
import {plane} from './targets/plane.ts'
import {redact} from './targets/redact.ts'
import {self} from './targets/self.ts'
import {signed} from './targets/signed.ts'
import {socket} from './targets/socket.ts'
import {sse} from './targets/sse.ts'
import {state} from './targets/state.ts'

export const targets: readonly Target[] = [
  sse,
  answers,
  opencode,
  plane,
  operations,
  configFiles,
  journal,
  state,
  socket,
  broker,
  redact,
  signed,
  self,
]
