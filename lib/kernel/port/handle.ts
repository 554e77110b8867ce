/** A descriptor that the native side keeps open until `release`. */
export type Handle = number & { readonly __handle: unique symbol }
