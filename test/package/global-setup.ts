export { makePackage as default } from './package'
