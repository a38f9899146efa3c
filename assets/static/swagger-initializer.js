// @ts-nocheck: the bundle of Swagger UI has no types.
// Starts Swagger UI over the OpenAPI document of this server.
window.ui = window.SwaggerUIBundle({
  url: '/api-docs/openapi.json',
  dom_id: '#swagger-ui',
  deepLinking: true,
  persistAuthorization: true,
});
