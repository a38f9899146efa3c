// The settings of orval. The program tests/slow/clients sets the variables.

import { defineConfig } from 'orval';

export default defineConfig({
  salam: {
    input: { target: process.env.OPENAPI ?? '' },
    output: {
      mode: 'single',
      target: process.env.GENERATED ?? '',
      client: 'fetch',
      baseUrl: process.env.BASE ?? '',
    },
  },
});
