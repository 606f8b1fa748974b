/** Whether only this machine can reach an address or a host name of a URL. */
export const isLoopback = (host: string): boolean => /^(127\.\d+\.\d+\.\d+|\[?::1\]?|(.+\.)?localhost\.?)$/i.test(host)
