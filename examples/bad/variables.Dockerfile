# Without --build-arg IMAGE=…, there is nothing to start from.
ARG IMAGE

FROM $IMAGE AS tools

FROM scratch
COPY --from=tools /bin/tool /bin/tool
