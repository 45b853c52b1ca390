# The cluster for people who have Docker and kind (0.27 or newer, whose nodes read /etc/containerd/certs.d): the
# same names, the same registries. Sourced by `cluster`.
# shellcheck shell=bash
# shellcheck disable=SC2154  # the variables are the sourcing script's

kind_registry=clarity-registry

kind_check() {
  need_commands docker kind kubectl jq openssl curl
  docker info >/dev/null 2>&1 || die "--kind needs a running Docker engine: \`docker info\` fails"
  kind version >/dev/null 2>&1 || die "--kind needs kind: \`kind version\` fails"
}

kind_running() {
  [ "$(docker inspect -f '{{.State.Running}}' $kind_registry 2>/dev/null)" = true ]
}

kind_up() { # NODES
  local number node host address
  touch "$state/kind"
  {
    printf 'kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n'
    printf 'nodes:\n- role: control-plane\n'
    for ((number = 2; number <= $1; number++)); do printf -- '- role: worker\n'; done
  } | kind create cluster --name clarity --kubeconfig "$KUBECONFIG" --wait 120s --config - >&2
  # as with the other kind, every node takes pods
  kubectl taint nodes --all node-role.kubernetes.io/control-plane- >/dev/null 2>&1 || true

  (registry_pki IP:127.0.0.1)
  docker run --rm --entrypoint htpasswd httpd:2 -Bbn "$registry_user" "$registry_password" >"$state/htpasswd"
  mkdir -p "$state/registry"
  kind_registry_container $kind_registry "${registry##*:}" -v "$state/htpasswd:/htpasswd:ro" \
    -e REGISTRY_AUTH=htpasswd -e REGISTRY_AUTH_HTPASSWD_REALM=clarity -e REGISTRY_AUTH_HTPASSWD_PATH=/htpasswd
  kind_registry_container $kind_registry-public "${public##*:}"

  for node in $(kind get nodes --name clarity); do
    docker cp "$state/pki/ca.crt" "$node:/etc/containerd/clarity-ca.crt"
    for host in "$registry" "$public"; do
      address=$(kind_address "$host")
      docker exec "$node" mkdir -p "/etc/containerd/certs.d/$host"
      printf 'server = "https://%s"\n[host."https://%s"]\n  ca = "/etc/containerd/clarity-ca.crt"\n' "$host" "$host" |
        docker exec -i "$node" tee "/etc/containerd/certs.d/$host/hosts.toml" >/dev/null
      docker exec "$node" sh -c "echo '${address} ${host%:*}' >>/etc/hosts"
    done
  done
  kind_names
  docker_config "$registry" "127.0.0.1:${registry##*:}"
  echo "127.0.0.1:${registry##*:}" >"$state/address"
  touch "$state/ready"
}

kind_registry_container() { # NAME PORT DOCKER-FLAGS...
  local name=$1 port=$2
  shift 2
  docker rm -f "$name" >/dev/null 2>&1 || true
  docker run -d --name "$name" --user "$(id -u):$(id -g)" --network kind -p "127.0.0.1:$port:$port" "$@" \
    -v "$state/registry:/var/lib/registry" -v "$state/pki:/pki:ro" -e "REGISTRY_HTTP_ADDR=:$port" \
    -e REGISTRY_HTTP_TLS_CERTIFICATE=/pki/registry.crt -e REGISTRY_HTTP_TLS_KEY=/pki/registry.key \
    -e REGISTRY_STORAGE_DELETE_ENABLED=true registry:2 >/dev/null
}

kind_address() { # HOST:PORT: where the containers of the cluster find it
  local name=$kind_registry
  [ "$1" = "$registry" ] || name=$kind_registry-public
  docker inspect -f '{{.NetworkSettings.Networks.kind.IPAddress}}' "$name"
}

kind_names() { # pods ask CoreDNS
  local hosts
  hosts="    hosts {\n        $(kind_address "$registry") ${registry%:*}\n        $(kind_address "$public") ${public%:*}\n        fallthrough\n    }\n"
  kubectl -n kube-system get configmap coredns -o json |
    jq --arg hosts "$(printf '%b' "$hosts")" '.data.Corefile |= sub("\n    ready"; "\n" + $hosts + "\n    ready")' |
    kubectl replace -f - >/dev/null
  kubectl -n kube-system rollout restart deployment coredns >/dev/null
  kubectl -n kube-system rollout status deployment coredns --timeout=60s >/dev/null
}

kind_down() {
  docker rm -f $kind_registry $kind_registry-public >/dev/null 2>&1 || true
  kind delete cluster --name clarity --kubeconfig "$KUBECONFIG" >/dev/null 2>&1 || true
}
