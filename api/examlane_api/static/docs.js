// Starts Swagger UI from a file of its own, so that the page needs no inline script.
"use strict";

SwaggerUIBundle({
  dom_id: "#api",
  url: document.getElementById("api").dataset.document,
  deepLinking: true,
  validatorUrl: null,
});
