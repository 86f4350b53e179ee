#!/bin/sh
# The parts that need no torch, on every installed Python from 3.11 to 3.13, with the oldest and the newest pytest.
set -eu

interpreter() {
    for candidate in "python$1" "$HOME"/.pyenv/versions/"$1".*/bin/python; do
        if "$candidate" -c "" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

for version in 3.11 3.12 3.13; do
    python=$(interpreter "$version")
    if [ -z "$python" ]; then
        echo "Python $version is not installed here: left out"
        continue
    fi
    environment=$ENVIRONMENTS/matrix-$version
    [ -x "$environment/bin/python" ] || "$python" -m venv "$environment"
    # onnx and onnxruntime come as wheels for all of them; torch does not.
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt \
        -r tests/requirements-matrix.txt "pytest-mle[vision,fast,onnx] @ file://$PWD"
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps dist/pytest_mle-*.whl
    for pytest in 7.4.4 9.2.0; do
        echo "== Python $version, pytest $pytest"
        "$environment/bin/python" -m pip install --quiet --disable-pip-version-check "pytest==$pytest"
        "$environment/bin/pytest" -q -n 2 --dist loadfile -m "not torch and not slow" tests/plugin tests/spec tests/engine \
            tests/reports tests/cli tests/governance tests/records tests/inputs tests/checks
    done
done
