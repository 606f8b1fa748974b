import {systemClock, type Clock} from '../core/clock.ts'
import {migrate, openDatabase, walSync} from '../core/sqlite.ts'
import type {Store} from './assemble.ts'
import type {Plane} from './plane/plane.ts'
import {backUp} from './store/backup.ts'
import {migrations} from './store/migrations.ts'
import {SqliteEngine} from './store/sqlite-engine.ts'
import type {Hub} from './streams/hub.ts'

export type OpenedStore = Store & {
  /** Called when the control plane is complete. */
  complete?: (parts: {plane: Plane; hub: Hub}) => void
  /** Copies the database to a file beside it, and returns the name of that file. Not there if the state is in Redis. */
  backUp?: () => Promise<string>
  close(): void | Promise<void>
}

/** Opens the database of one control plane. `file` may be `:memory:`. Rejects with ExpectedError: see `openDatabase`. */
export async function openSingleStore(
  file: string,
  {exclusive, clock = systemClock}: {exclusive: boolean; clock?: Clock | undefined},
): Promise<OpenedStore> {
  const database = await openDatabase(file, {exclusive})
  const wal = file === ':memory:' ? undefined : walSync(file)
  let backup: Promise<string> | undefined
  const close = async () => {
    await backup?.catch(() => {}) // it reads the database
    wal?.close()
    database.close()
  }
  /** A second call while a copy is made waits for that one. */
  const backUpOnce = () => (backup ??= backUp(database, file).finally(() => (backup = undefined)))
  try {
    const former = migrate(database, file, migrations)
    const open: Store['open'] = (policy, {onRestored, onBug}) =>
      new SqliteEngine({database, policy, clock, sync: wal?.sync, onRestored, onBug})
    return {database, file, former, clock, replica: '', open, backUp: backUpOnce, close}
  } catch (error) {
    await close()
    throw error
  }
}
