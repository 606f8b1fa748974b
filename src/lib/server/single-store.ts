import {systemClock, type Clock} from '../core/clock.ts'
import {migrate, openDatabase, walSync} from '../core/sqlite.ts'
import type {Store} from './assemble.ts'
import type {Plane} from './plane/plane.ts'
import {createBackup} from './store/backup.ts'
import {migrations} from './store/migrations.ts'
import {SqliteEngine} from './store/sqlite-engine.ts'
import type {Hub} from './streams/hub.ts'

export type OpenedStore = Store & {
  /** Called when the control plane is complete. */
  complete?: (parts: {plane: Plane; hub: Hub}) => void
  close(): void | Promise<void>
}

/** Opens the database of one control plane. `file` may be `:memory:`. Rejects with ExpectedError: see `openDatabase`. */
export async function openSingleStore(
  file: string,
  {exclusive, clock = systemClock}: {exclusive: boolean; clock?: Clock | undefined},
): Promise<OpenedStore> {
  const database = await openDatabase(file, {exclusive})
  const wal = file === ':memory:' ? undefined : walSync(file)
  const backup = file === ':memory:' ? undefined : createBackup(database, file)
  const close = async () => {
    await backup?.over() // it reads the database
    wal?.close()
    database.close()
  }
  try {
    const former = migrate(database, file, migrations)
    const open: Store['open'] = (policy, {onRestored, onBug}) =>
      new SqliteEngine({database, policy, clock, sync: wal?.sync, onRestored, onBug})
    return {database, file, former, clock, replica: '', open, backUp: backup?.make, close}
  } catch (error) {
    await close()
    throw error
  }
}
