# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
#
# Shared set-up, to be sourced by the scripts beside it. Afterwards ROOT is the repository and
#   setup_environment        makes ROOT/.venv hold the package and what it needs,
#   setup_environment dev    the same and what tests and checks need,
# and `.venv/bin` comes first on PATH. When nothing changed since the last time, it takes a moment.
#
# PYTHON=/path/to/python chooses the interpreter (3.10 or newer). Package indexes, certificates and proxies are taken
# from pip's own settings. uv installs if it is on PATH, else pip.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

setup_say() { printf 'setup: %s\n' "$*" >&2; }

# Prints the first of the given interpreters that runs and is new enough.
find_python() {
  local candidate
  for candidate in "$@"; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then
      command -v "$candidate"
      return 0
    fi
  done
  setup_say "no Python 3.10 or newer among: $*. Install one, or name it: PYTHON=/path/to/python ${0##*/}"
  return 1
}

# uv does not read pip's settings; these are the ones that decide where packages come from.
export_pip_settings_for_uv() {
  [[ -z "${PIP_INDEX_URL:-}" ]] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"
  [[ -z "${PIP_EXTRA_INDEX_URL:-}" ]] || export UV_INDEX="${UV_INDEX:-$PIP_EXTRA_INDEX_URL}"
  [[ -z "${PIP_FIND_LINKS:-}" ]] || export UV_FIND_LINKS="${UV_FIND_LINKS:-${PIP_FIND_LINKS// /,}}"
  [[ -z "${PIP_CERT:-}" ]] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"
}

# make_venv PYTHON FOLDER: makes an empty environment with pip in it.
make_venv() {
  rm -rf "$2"
  if "$1" -m venv "$2" >/dev/null 2>&1; then
    return 0
  fi
  rm -rf "$2"
  if command -v uv >/dev/null && uv venv --quiet --seed --python "$1" "$2"; then
    return 0
  fi
  setup_say "$1 cannot make a virtual environment: its venv module is missing or incomplete." \
    "Install it (on Debian and Ubuntu: apt-get install python3-venv) or uv, then start again."
  return 1
}

# install_into FOLDER ARGUMENT...: installs into an environment with uv or pip. The arguments are resolved in one go, so
# torch and torchvision, whose builds must match, come from the same place.
install_into() {
  local venv="$1"
  shift
  if command -v uv >/dev/null; then
    export_pip_settings_for_uv
    uv pip install --python "$venv/bin/python" "$@" && return 0
    setup_say "uv could not install; trying pip"
  fi
  "$venv/bin/python" -m pip install --disable-pip-version-check "$@"
}

setup_environment() {
  local extra="${1:-}" venv="$ROOT/.venv" stamp="$ROOT/.venv/.hf_multimodal-setup" wanted python
  # The folder is part of it: environments do not survive being moved.
  wanted="$ROOT $(cksum <"$ROOT/pyproject.toml")"
  if [[ ! -f "$stamp" || "$(head -n 1 "$stamp")" != "$ROOT "* ]] || ! "$venv/bin/python" -c '' 2>/dev/null; then
    if [[ -n "${PYTHON:-}" ]]; then
      python="$(find_python "$PYTHON")" || return 1
    else
      python="$(find_python python3.13 python3.12 python3.11 python3.10 python3 python)" || return 1
    fi
    setup_say "making .venv with $("$python" --version) ($python)"
    make_venv "$python" "$venv" || return 1
    printf '%s\n' "$ROOT is new" >"$stamp"
  fi
  if [[ "$(head -n 1 "$stamp")" != "$wanted" ]]; then
    printf '%s\n' "$wanted" >"$stamp"
  fi
  # An environment with the extra serves the scripts that do without it.
  if ! grep -qxF -e "installed: $extra" -e "installed: dev" "$stamp"; then
    setup_say "installing hf_multimodal${extra:+[$extra]} into .venv (several GB with torch, the first time)"
    install_into "$venv" --editable "$ROOT${extra:+[$extra]}" || return 1
    printf 'installed: %s\n' "$extra" >>"$stamp"
  fi
  export VIRTUAL_ENV="$venv" PATH="$venv/bin:$PATH"
  unset PYTHONHOME
}
