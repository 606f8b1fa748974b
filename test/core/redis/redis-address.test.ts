import {expect, test} from 'vitest'
import {
  hasPassword,
  loginOf,
  readRedisUrl,
  redisUrlProblem,
  withoutLogin,
} from '../../../src/lib/core/redis/redis-address.ts'

test('addresses of one server, of Sentinels and of a Cluster are read', () => {
  expect(readRedisUrl('rediss://me:s%40cret@redis.example/3')).toEqual({
    ...{kind: 'server', isSecure: true, nodes: [{host: 'redis.example', port: 6379}], db: 3, name: ''},
    ...{username: 'me', password: 's@cret', sentinelPassword: undefined},
  })
  expect(readRedisUrl('redis+sentinel://:pw@a:26380,[::1],c/main/2?sentinelPassword=x%26y')).toMatchObject({
    ...{kind: 'sentinel', isSecure: false, name: 'main', db: 2, password: 'pw', sentinelPassword: 'x&y'},
    nodes: [
      {host: 'a', port: 26_380},
      {host: '::1', port: 26_379},
      {host: 'c', port: 26_379},
    ],
  })
  expect(readRedisUrl('rediss+cluster://a:80,b')).toMatchObject({
    ...{kind: 'cluster', isSecure: true, password: undefined},
    nodes: [
      {host: 'a', port: 80},
      {host: 'b', port: 6379},
    ],
  })
})

test('a text that is no address has a problem that names the right form', () => {
  for (const good of ['redis://h', 'redis://h:1/2?family=6', 'redis+sentinel://h/main', 'redis+cluster://h:1,i:2/'])
    expect(redisUrlProblem(good), good).toBe(undefined)
  for (const bad of ['', 'h:6379', 'http://h', 'redis://', 'redis://a,b', 'redis://h:x', 'redis://:%zz@h'])
    expect(redisUrlProblem(bad), bad).toContain('must be an address like redis://host:6379')
  expect(redisUrlProblem('redis+sentinel://h:1')).toContain('must name the Redis that the Sentinels watch')
  expect(redisUrlProblem('redis+cluster://h:1/4')).toContain('must have no database')
})

test('no password is shown', () => {
  for (const url of ['redis://me:pw@h:1/2', 'redis+sentinel://:pw@h:1,i:2/main/2?sentinelPassword=pw']) {
    expect(hasPassword(url)).toBe(true)
    expect(withoutLogin(url)).not.toContain('pw')
  }
  expect(withoutLogin('redis+sentinel://:pw@h:1,[::1]:2/main/2')).toBe('redis+sentinel://h:1,[::1]:2/main/2')
  expect(hasPassword('redis+sentinel://h/main?sentinelPassword=pw')).toBe(true)
  expect(hasPassword('redis+cluster://h:1')).toBe(false)
  expect([loginOf('redis://me:pw@h'), loginOf('redis+cluster://me:pw@i:3'), loginOf('redis://h')]).toEqual([
    'me:pw',
    'me:pw',
    '',
  ])
})
