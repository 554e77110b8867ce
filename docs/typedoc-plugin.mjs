// How typedoc writes docs/api, which git ignores: one page for each entry of the package and one for each class, all in one folder.
import { readFileSync } from 'node:fs'
import { Converter, makeRecursiveVisitor, ReflectionKind, Type } from 'typedoc'
import { MarkdownPageEvent, MarkdownTheme, MarkdownThemeContext, MemberRouter } from 'typedoc-plugin-markdown'

const OWN_PAGE = ReflectionKind.Module | ReflectionKind.Class

/** Names `ThinPool.md` and `kernel.md`; README.md lists the entries. What has no page keeps no name from one that has. */
class PageRouter extends MemberRouter {
  /** @override @param {import('typedoc').Reflection} reflection */
  getIdealBaseName(reflection) {
    const name = reflection.name.replace('dm-thin/', '')
    return reflection.kindOf(OWN_PAGE) ? name : `${reflection.parent?.name}#${name}`
  }
}

/** Shows a getter as its declaration and its description. */
class PageTheme extends MarkdownTheme {
  /** @override @param {MarkdownPageEvent<import('typedoc').Reflection>} page */
  getRenderContext(page) {
    const context = new MarkdownThemeContext(this, page, this.application.options)
    context.partials.accessor = (model, options) => {
      const getter = model.getSignature
      return [
        getter && context.partials.signatureTitle(getter, { accessor: 'get' }),
        getter?.comment && context.partials.comment(getter.comment, options),
        context.partials.inheritance(model, options),
      ]
        .filter(Boolean)
        .join('\n\n')
    }
    return context
  }
}

/** Orders the literals of unions, whose order is otherwise that in which the compiler first met each of them. */
const orderUnions = makeRecursiveVisitor({
  union(type) {
    if (type.types.every(each => each.type === 'literal')) type.types.sort((a, b) => (`${a}` < `${b}` ? -1 : 1))
  },
})

/** Leads each code to its heading in errors.md, outside code blocks. @param {string} text @param {Set<string>} codes */
function linkCodes(text, codes) {
  const link = (all, code) => (codes.has(code) ? `[${all}](../errors.md#${code.toLowerCase()})` : all)
  return text.replace(/^```[\s\S]*?^```$|`((?:DM|ABORT)_[A-Z_]+)`(?!\])/gm, (all, code) =>
    code ? link(all, code) : all,
  )
}

/** @param {import('typedoc').Application} app */
export function load(app) {
  app.renderer.defineRouter('pages', PageRouter)
  app.renderer.defineTheme('pages', PageTheme)
  app.converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => {
    for (const reflection of project.getReflectionsByKind(ReflectionKind.All)) {
      if ('type' in reflection && reflection.type instanceof Type) reflection.type.visit(orderUnions)
    }
  })
  const headings = readFileSync(new URL('errors.md', import.meta.url), 'utf8').matchAll(/^## ((?:DM|ABORT)_\w+)$/gm)
  const codes = new Set([...headings].map(([, code]) => code))
  app.renderer.on(MarkdownPageEvent.END, page => {
    const above = page.url === 'README.md' ? '' : ' · [API reference](README.md)'
    const navigation = `[Documentation](../README.md) · [API at a glance](../api-at-a-glance.md)${above}`
    const note = '<!-- Written from the docstrings by `npm run docs`. Change those. -->'
    page.contents = linkCodes(page.contents ?? '', codes).replace(/^(# .*)$/m, `$1\n\n${note}\n\n${navigation}`)
  })
}
