/**
 * An open file as a child's stdin, stdout or stderr. execa's types list the descriptors 3 to 9 only, though any is
 * handed to the child as it is.
 */
export const descriptor = (fd: number) => fd as 3
