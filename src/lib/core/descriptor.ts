/**
 * An open file descriptor as execa's types want it. They know descriptors 3 to 9 only; the child gets whichever it is,
 * the file itself rather than a pipe through this process (there is a test that looks at /proc/CHILD/fd/1).
 */
export const asDescriptor = (fd: number) => fd as 3
