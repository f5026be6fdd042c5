"""Proxies in front of a registry.

nginx, Caddy and HAProxy have the sample configs, in which names, ports and files are replaced and nothing else. Another
HAProxy and a program with Go's httputil.ReverseProxy have the least that lets them use one connection for many clients.
"""

import http.client
import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from pyregistry.common.overriding import override
from tests.authority import Authority
from tests.clients.programs import built
from tests.processes import SOURCE_TREE, Program, free_port, require

NGINX = """
user root;
daemon off;
worker_processes 2;
pid {directory}/nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/registry.conf;
}}
"""
"""Debian's /etc/nginx/nginx.conf around conf.d/registry.conf, for a server of our own."""
CADDY = """
{
	admin off
	auto_https disable_redirects
}
"""
HAPROXY = """
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
frontend clients
    bind {host} ssl crt {pem} alpn http/1.1
    default_backend registry
backend registry
    http-reuse always
    server registry {upstream}
"""


def sample(name: str, replacements: Mapping[str, str]) -> str:
    """A file of config/; each replacement must meet something."""
    text = (SOURCE_TREE / "config" / name).read_text()
    for old, new in replacements.items():
        assert old in text, f"{old!r} is not in config/{name}"
        text = text.replace(old, new)
    return text


class Proxy(Program):
    """A proxy on 127.0.0.1 with a certificate of `authority`, in front of `upstream`."""

    def __init__(self, directory: Path, authority: Authority, upstream: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.directory = directory
        self.authority = authority
        self.certificate, self.key = map(str, authority.issue("proxy"))
        command, env = self.configure(upstream)
        super().__init__(command, directory / "proxy.log", env)

    def configure(self, upstream: str) -> tuple[list[str], dict[str, str]]:
        """Write the config; the command that takes it, with its environment."""
        raise NotImplementedError

    @property
    def host(self) -> str:
        """The text before the repository in an image's name."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The start of its paths."""
        return f"https://{self.host}"

    def connect(self) -> http.client.HTTPSConnection:
        """A client that trusts the authority alone."""
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.authority.context(), timeout=30)

    @override
    def answers(self) -> bool:
        connection = self.connect()
        try:
            connection.request("GET", "/")
            return connection.getresponse().status in (200, 401, 404)
        except (OSError, ssl.SSLError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class Nginx(Proxy):
    """nginx."""

    @override
    def configure(self, upstream: str) -> tuple[list[str], dict[str, str]]:
        replacements = {
            "listen 443 ssl;": f"listen {self.host} ssl;",
            "/etc/ssl/registry.pem": self.certificate,
            "/etc/ssl/private/registry.key": self.key,
            "127.0.0.1:5000": upstream,
        }
        (self.directory / "registry.conf").write_text(sample("nginx.conf", replacements))
        config = self.directory / "nginx.conf"
        config.write_text(NGINX.format(directory=self.directory))
        return [require("nginx", "nginx"), "-e", "stderr", "-c", str(config)], {}


class Caddy(Proxy):
    """Caddy."""

    @override
    def configure(self, upstream: str) -> tuple[list[str], dict[str, str]]:
        own = f"tls {self.certificate} {self.key}\n\tbind 127.0.0.1"
        text = sample("Caddyfile", {"# tls /etc/ssl/registry.pem /etc/ssl/private/registry.key": own})
        config = self.directory / "Caddyfile"
        config.write_text(CADDY + text)
        places = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), str(self.directory))
        env = {**places, "SITE": self.url, "UPSTREAM": upstream, "PATH": os.environ["PATH"]}
        return [require("caddy", "caddy"), "run", "--adapter", "caddyfile", "--config", str(config)], env


class SampleHAProxy(Proxy):
    """HAProxy, as config/haproxy.cfg has it."""

    @override
    def configure(self, upstream: str) -> tuple[list[str], dict[str, str]]:
        pem, config = self.directory / "haproxy.pem", self.directory / "haproxy.cfg"
        pem.write_text(Path(self.certificate).read_text() + Path(self.key).read_text())
        replacements = {
            "bind :443": f"bind {self.host}",
            "/etc/haproxy/registry.pem": str(pem),
            "127.0.0.1:5000": upstream,
        }
        config.write_text("global\n    log stderr format raw daemon\n\n" + sample("haproxy.cfg", replacements))
        return [require("haproxy", "haproxy"), "-db", "-f", str(config)], {}


class HAProxy(Proxy):
    """HAProxy, which may send a request of any client on any connection."""

    @override
    def configure(self, upstream: str) -> tuple[list[str], dict[str, str]]:
        pem, config = self.directory / "haproxy.pem", self.directory / "haproxy.cfg"
        pem.write_text(Path(self.certificate).read_text() + Path(self.key).read_text())
        config.write_text(HAPROXY.format(host=self.host, pem=pem, upstream=upstream))
        return [require("haproxy", "haproxy"), "-db", "-f", str(config)], {}


class GoProxy(Proxy):
    """A program of our own: see reverse_proxy/main.go."""

    @override
    def configure(self, upstream: str) -> tuple[list[str], dict[str, str]]:
        return [built("reverse-proxy"), self.host, upstream, self.certificate, self.key], {}
