# OCI image layouts written by hand, and pushed by curl: so the bytes of every fixture are known, and no Docker is
# needed. Sourced by `build` and by `scripts/cluster`.
# shellcheck shell=bash

# oci_new LAYOUT: an empty image layout (OCI image-spec, "Image Layout").
oci_new() {
  rm -rf "$1"
  mkdir -p "$1/blobs/sha256"
  printf '{"imageLayoutVersion":"1.0.0"}' >"$1/oci-layout"
  : >"$1/layers.jsonl"
}

# oci_blob LAYOUT FILE MEDIA-TYPE: moves the file in and prints its descriptor.
oci_blob() {
  local digest size
  digest=$(sha256sum "$2" | cut -d' ' -f1)
  size=$(stat -c %s "$2")
  mv "$2" "$1/blobs/sha256/$digest"
  printf '{"mediaType":"%s","digest":"sha256:%s","size":%s}' "$3" "$digest" "$size"
}

# oci_layer LAYOUT ROOT gzip|zstd|none: adds a layer with everything below ROOT.
oci_layer() {
  local file=$1/layer diff_id type=application/vnd.oci.image.layer.v1.tar
  # times are cut off so that the same content gives the same digest
  tar -C "$2" --sort=name --numeric-owner --mtime=2025-01-01T00:00:00Z --clamp-mtime -cf "$file" .
  diff_id=sha256:$(sha256sum "$file" | cut -d' ' -f1)
  case $3 in
    gzip) gzip -n -6 <"$file" >"$file.packed" && mv "$file.packed" "$file" && type+=+gzip ;;
    zstd) zstd -q -10 <"$file" >"$file.packed" && mv "$file.packed" "$file" && type+=+zstd ;;
    none) ;;
  esac
  jq -nc --argjson layer "$(oci_blob "$1" "$file" "$type")" --arg diff_id "$diff_id" '{$layer, $diff_id}' >>"$1/layers.jsonl"
}

# oci_image LAYOUT CONFIG [ARCHITECTURE]: closes the image and makes it the layout's entry.
oci_image() {
  jq -s -c --argjson config "$2" --arg architecture "${3:-amd64}" \
    '{$architecture, os: "linux", $config, rootfs: {type: "layers", diff_ids: map(.diff_id)},
      history: map({created_by: "clarity fixture"})}' "$1/layers.jsonl" >"$1/config"
  local config
  config=$(oci_blob "$1" "$1/config" application/vnd.oci.image.config.v1+json)
  jq -s -c --argjson config "$config" '{schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
    $config, layers: map(.layer)}' "$1/layers.jsonl" >"$1/manifest"
  oci_entry "$1" "$1/manifest" application/vnd.oci.image.manifest.v1+json
  rm "$1/layers.jsonl"
}

# oci_entry LAYOUT FILE MEDIA-TYPE: takes a manifest or index in as what the layout is about.
oci_entry() {
  printf '{"schemaVersion":2,"manifests":[%s]}' "$(oci_blob "$1" "$2" "$3")" >"$1/index.json"
}

# oci_descriptor LAYOUT: of its entry.
oci_descriptor() { jq -c '.manifests[0]' "$1/index.json"; }

# oci_digest LAYOUT: of its entry.
oci_digest() { jq -r '.manifests[0].digest' "$1/index.json"; }

registry_curl() {
  curl -sS --fail --max-time 120 --cacert "$CLARITY_REGISTRY_CA" \
    -u "$CLARITY_REGISTRY_USER:$CLARITY_REGISTRY_PASSWORD" "$@"
}

# oci_push LAYOUT REPOSITORY TAG: to the cluster's registry, byte for byte.
oci_push() {
  local base=https://$CLARITY_REGISTRY_ADDRESS/v2/$2 entry digest blob location
  entry=$(oci_digest "$1")
  [ "$(oci_pushed "$2" "$3")" != "$entry" ] || return 0
  for blob in "$1"/blobs/sha256/*; do
    digest=sha256:${blob##*/}
    registry_curl -o /dev/null -I "$base/blobs/$digest" 2>/dev/null && continue
    location=$(registry_curl -o /dev/null -D - -X POST "$base/blobs/uploads/" | sed -n 's/^[Ll]ocation: //p' | tr -d '\r')
    # the registry names itself as it was called, or by a path alone
    [[ $location == http* ]] || location=https://$CLARITY_REGISTRY_ADDRESS$location
    registry_curl -o /dev/null -H 'Content-Type: application/octet-stream' -T "$blob" "$location&digest=$digest"
  done
  # an index is taken only when its manifests are there
  for digest in $(jq -r '.manifests[]?.digest' "$1/blobs/sha256/${entry#sha256:}"); do
    oci_put_manifest "$1" "$2" "$digest" "$digest"
  done
  oci_put_manifest "$1" "$2" "$entry" "$3"
}

# oci_put_manifest LAYOUT REPOSITORY DIGEST REFERENCE
oci_put_manifest() {
  local file=$1/blobs/sha256/${3#sha256:}
  registry_curl -o /dev/null -X PUT -H "Content-Type: $(jq -r .mediaType "$file")" --data-binary "@$file" \
    "https://$CLARITY_REGISTRY_ADDRESS/v2/$2/manifests/$4"
}

# oci_pushed REPOSITORY TAG: the digest that stands there, or nothing.
oci_pushed() {
  registry_curl -I -H 'Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json' \
    "https://$CLARITY_REGISTRY_ADDRESS/v2/$1/manifests/$2" 2>/dev/null |
    tr -d '\r' | sed -n 's/^[Dd]ocker-[Cc]ontent-[Dd]igest: //p' || true
}
