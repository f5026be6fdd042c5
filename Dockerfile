# docker build -t pyregistry .
# docker run -d -p 5000:5000 --restart=always --name registry -v /srv/registry:/var/lib/registry pyregistry
# The tag of one version of Python; Debian's updates come into it. A digest says which of its builds:
# --build-arg BASE=python:3.13.16-slim-trixie@sha256:..., as `docker buildx imagetools inspect` prints it.
ARG BASE=python:3.13.16-slim-trixie

FROM ${BASE} AS build
# For a build without a network: put wheels into ./wheels (pip wheel -w wheels . setuptools) and pass
# --build-arg PIP_OPTIONS="--no-index --find-links=wheels"
ARG PIP_OPTIONS=""
# The exact versions of all packages (make constraints), and of those that build ours. pip reads both variables; empty
# ones take the newest versions that pyproject.toml allows.
ARG PIP_CONSTRAINT=/src/constraints/image.txt
ARG PIP_BUILD_CONSTRAINT=${PIP_CONSTRAINT}
WORKDIR /src
RUN python3 -m venv /opt/pyregistry
COPY . .
# One line removes the grammars of the five hundred languages that rich could highlight: nothing here is. The last one
# compiles for good: a file's time is not the same in a second build, and may be set to another one (make image).
RUN /opt/pyregistry/bin/pip install --disable-pip-version-check --no-cache-dir --no-compile ${PIP_OPTIONS} . \
 && /opt/pyregistry/bin/pip uninstall --yes --quiet pip setuptools \
 && find /opt/pyregistry -path '*/pygments/lexers/*.py*' ! -name '__init__*' ! -name '_mapping*' -delete \
 && PYTHONHASHSEED=0 /opt/pyregistry/bin/python -m compileall -q -f --invalidation-mode checked-hash /opt/pyregistry/lib
# What is in there, by package and version.
RUN python3 -m venv /opt/sbom \
 && /opt/sbom/bin/pip install --disable-pip-version-check --no-cache-dir --no-compile ${PIP_OPTIONS} cyclonedx-bom \
 && /opt/sbom/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
    --output-file /opt/sbom.cdx.json /opt/pyregistry/bin/python

FROM ${BASE}
LABEL org.opencontainers.image.title="pyregistry" \
      org.opencontainers.image.description="A private OCI and Docker registry on one directory" \
      org.opencontainers.image.licenses="Apache-2.0"
# A fresh volume is as this directory: root without capabilities (--cap-drop ALL), "registry" and any --user may write there.
# The user's number is no person's: useradd gives out 1000 to 60000, Debian and systemd leave 65520 to 65533 alone.
# The CNCF image has its program at /bin/registry, which is /usr/bin. /etc/distribution is the same directory, so a file or a directory mounted at either place is found at both.
RUN echo 'registry:*:65530:' >>/etc/group \
 && echo 'registry:*:65530:65530::/var/lib/registry:/usr/sbin/nologin' >>/etc/passwd \
 && install -d -o registry -g root -m 0775 /var/lib/registry \
 && install -d /etc/docker/registry && ln -s docker/registry /etc/distribution \
 && ln -s /opt/pyregistry/bin/pyregistry /opt/pyregistry/bin/registry /usr/local/bin/ \
 && ln -s /opt/pyregistry/bin/registry /usr/bin/registry
COPY --from=build /opt/pyregistry /opt/pyregistry
COPY --from=build /opt/sbom.cdx.json /usr/share/doc/pyregistry/sbom.cdx.json
COPY config/image.yml /etc/docker/registry/config.yml
COPY entrypoint.py /entrypoint.sh
ENV PYTHONUNBUFFERED=1
EXPOSE 5000
VOLUME /var/lib/registry
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["pyregistry", "healthcheck"]
# The entry point gives the volume to the user "registry" and continues as that user; with --user it does neither.
ENTRYPOINT ["/entrypoint.sh"]
CMD ["/etc/docker/registry/config.yml"]
