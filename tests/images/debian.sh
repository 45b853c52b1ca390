# Small roots of Debian, made by debootstrap and kept in the cache. Sourced, after `scripts/lib.sh`, by `build` and by
# `scripts/bench`.
# shellcheck shell=bash
# shellcheck disable=SC2154 # the cache is that of scripts/lib.sh

# Where this machine gets its packages from, however its lists are written.
debian_mirror() {
  # shellcheck disable=SC2016 # apt fills these in
  apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
    awk '$1 == "Debian" && $2 !~ /-/ && $3 == "main" && !found {print $4; found = 1}'
}

# debian_root DIR RELEASE [PACKAGE]: a small Debian as its installer would lay it down, without security updates.
debian_root() {
  local dir=$1 release=$2 archive=$cache/roots/$2${3:+-$3}.tar mirror proxy
  if [ ! -f "$archive" ]; then
    need_packages debootstrap debian-archive-keyring wget ca-certificates
    mirror=$(debian_mirror)
    # lists that were never fetched, or were deleted to make a machine small
    [ -n "$mirror" ] || { apt-get update -qq && mirror=$(debian_mirror); }
    [ -n "$mirror" ] || die "apt knows no Debian mirror"
    proxy=$(apt-config shell proxy Acquire::http::Proxy)
    eval "$proxy"
    say "debootstrap $release"
    mkdir -p "$cache/roots"
    rm -rf "$dir.new"
    http_proxy=${proxy:-} debootstrap --variant=minbase ${3:+--include="$3"} "$release" "$dir.new" "$mirror" \
      >"$cache/roots/$release.log" 2>&1 || die "debootstrap failed: $cache/roots/$release.log"
    tar -C "$dir.new" --numeric-owner -cf "$archive.new" .
    mv "$archive.new" "$archive"
    rm -rf "$dir.new"
  fi
  mkdir "$dir"
  tar -C "$dir" --numeric-owner -xf "$archive"
  slim "$dir"
}

# slim ROOT: what an image does not need, and what differs with every build.
slim() {
  (cd "$1" && rm -rf dev/* proc/* sys/* var/cache/apt/* var/cache/debconf/*-old var/cache/ldconfig/* var/lib/apt/lists/* var/lib/dpkg/*-old \
    var/log/* usr/share/doc/* usr/share/man/* usr/share/locale/*)
}
