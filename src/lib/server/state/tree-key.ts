import {pair, type StoredCodebase} from './records.ts'

/** Identifies the working tree of a codebase. */
export const treeKey = ({worker_id, tree, path}: Readonly<StoredCodebase>) => pair(worker_id, tree ?? path)
