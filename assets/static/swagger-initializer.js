// @ts-nocheck: the bundle of Swagger UI has no types.
// Starts Swagger UI over the OpenAPI document of this server.

const DOCUMENT = '/api-docs/openapi.json';

/**
 * Removes the examples of optional parameters. Swagger UI sends each example as a value: a cursor would skip a page,
 * and a second request with the same `Idempotency-Key` would store nothing. The example of `confirm` stays, because
 * the server rejects a request without it.
 */
function withoutExamples(text) {
  const spec = JSON.parse(text);
  const operations = Object.values(spec.paths).flatMap((path) => Object.values(path));
  for (const parameter of operations.flatMap(({ parameters }) => parameters ?? [])) {
    if (!parameter.required && parameter.name !== 'confirm') delete parameter.example;
  }
  return JSON.stringify(spec);
}

window.ui = window.SwaggerUIBundle({
  url: DOCUMENT,
  dom_id: '#swagger-ui',
  deepLinking: true,
  persistAuthorization: true,
  responseInterceptor: (response) => {
    const isDocument = response.ok && new URL(response.url, location.href).pathname === DOCUMENT;
    if (isDocument) response.text = withoutExamples(response.text);
    return response;
  },
});
