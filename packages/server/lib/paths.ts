import type { FastifyInstance } from "fastify";

declare module "fastify" {
  interface FastifyInstance {
    /** The paths of all scopes. */
    paths: Paths;
  }
}

/** Knows which methods paths take, for who comes with another: fastify has no such paths at all. */
export class Paths {
  readonly #routes: { readonly pattern: RegExp; readonly methods: readonly string[] }[] = [];

  /** Looks at the routes that an app and its scopes are given from now on. */
  static watch(app: FastifyInstance): void {
    const paths = new Paths();
    app.decorate("paths", paths);
    app.addHook("onRoute", ({ url, method }) => {
      const pattern = url.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/:[^/]+/g, "[^/]+");
      paths.#routes.push({ pattern: new RegExp(`^${pattern}$`), methods: [method].flat() });
    });
  }

  /** Lists the methods that a path takes, none where there is no such path. */
  methodsOf(path: string): string[] {
    const methods = this.#routes.filter(({ pattern }) => pattern.test(path)).flatMap(({ methods }) => methods);
    return [...new Set(methods)].sort();
  }
}

/** Makes a URL's path decodable: fastify would reply to another by itself, in no protocol's form. No route has such a path. */
export function decodable(url: string): string {
  const path = url.split("?", 1)[0] ?? "";
  try {
    decodeURIComponent(path);
    return url;
  } catch {
    return path.replaceAll("%", "%25") + url.slice(path.length);
  }
}
