# One image for coordinators and workers: `up` (the default) or `worker`. docker-compose.yml runs both.
FROM node:22-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc tsconfig.base.json ./
COPY packages packages
COPY examples examples
COPY scripts scripts
RUN npm ci --ignore-scripts \
  && npx tsc -b packages/cli \
  && node scripts/prepare-pglite.mjs packages/coordinator/prepared/pglite.tgz \
  && npm prune --omit=dev --ignore-scripts

FROM node:22-slim
ENV NODE_ENV=production BATON_DATA_DIR=/var/lib/baton BATON_LOG_FILE=/var/lib/baton/logs/orchestrator.log
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/packages packages
COPY --from=build /app/examples examples
COPY --from=build /app/scripts scripts
RUN mkdir /var/lib/baton && chown node:node /var/lib/baton
USER node
EXPOSE 7420
# The coordinator's. A worker listens nowhere: docker-compose.yml checks it by scripts/worker-health.mjs.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.BATON_PORT || process.env.PORT || 7420}/healthz`).then(answer => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# Without a shell in between, so that SIGTERM reaches the process: a worker drains, a coordinator finishes what it took.
ENTRYPOINT ["node", "--max-semi-space-size=32", "--initial-old-space-size=128", "packages/cli/dist/main.js"]
CMD ["up"]
