import * as v from 'valibot'
import {redisUrlProblem} from '../../src/lib/core/redis/redis-address.ts'
import {brokerMessageSchema} from '../../src/lib/protocol/broker.ts'
import {parseJson} from '../../src/lib/protocol/parse.ts'
import {mutateBytes} from '../mutate-bytes.ts'
import {mutateJson} from '../mutate-json.ts'
import {announcement} from '../samples.ts'
import type {Target} from '../target.ts'

/** Announcements over Redis, and URLs of a Redis server. */
export const broker: Target = {
  name: 'broker',
  share: 60,
  open: () => ({
    run(random) {
      const text = random.chance(0.5)
        ? mutateJson(announcement, random)
        : mutateBytes(Buffer.from(JSON.stringify(announcement)), random).toString()
      const url = mutateBytes(Buffer.from('rediss://user:secret@host:6379/0'), random).toString()
      const isGood = v.safeParse(brokerMessageSchema, parseJson(text)).success
      return isGood || redisUrlProblem(url) === undefined ? 'accepted' : 'refused'
    },
  }),
}
