#!/usr/bin/env bash
# Makes the pictures of docs/methods and of docs/how-to/report.md, with the program `attribute` on the shipped network
# and a shipped scene. The latter takes chromium and is left as it is without. The picture of docs/how-to/tokens.md is
# what examples/11_tokens writes.
#
#   bash docs/make_pictures.sh                                # builds the program under build/pictures first
#   ATTRIBUTE=build/programs/attribute/attribute bash docs/make_pictures.sh
#
# Building needs LibTorch: CMAKE_PREFIX_PATH, or the torch of the python3 that is found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ -z "${ATTRIBUTE:-}" ]]; then
  prefix="${CMAKE_PREFIX_PATH:-$(python3 -c 'import torch; print(torch.utils.cmake_prefix_path)')}"
  cmake -S . -B build/pictures -DSALIENCE_BUILD_TESTS=OFF "-DCMAKE_PREFIX_PATH=$prefix"
  cmake --build build/pictures --target attribute 11_tokens
  ATTRIBUTE=build/pictures/programs/attribute/attribute
  TOKENS=build/pictures/examples/11_tokens
fi

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
pictures=docs/images/methods
mkdir -p "$pictures"

# explain OUTPUT ARGUMENTS...: fixed seed, one thread, so that the same LibTorch gives the same pictures.
explain() {
  OMP_NUM_THREADS=1 "$ATTRIBUTE" --model examples/data/scenes.pt --labels examples/data/labels.txt --size 96x96 \
    --image examples/data/scene_star.png --seed 7 --threads 1 --output "$work/$1" "${@:2}" > "$work/$1.log"
}

# Left out: attention_rollout and chefer, since the network has no attention; deep_lift_shap has one baseline here and is deep_lift; attn_lrp and cp_lrp are input_x_gradient, up to epsilon, in
# a network without products.
pixels=(vanilla input_x_gradient smooth_grad smooth_grad_sq var_grad integrated_gradients guided_ig blur_ig idgi
        gradient_shap deep_lift deep_lift_reveal_cancel lrp_epsilon_plus lrp_epsilon_plus_flat lrp_epsilon_alpha2_beta1
        lrp_epsilon_alpha2_beta1_flat lrp_epsilon_gamma_box excitation_backprop guided_backprop deconvnet guided_grad_cam)
maps=(grad_cam grad_cam_pp hires_cam xgrad_cam layer_cam eigen_cam eigen_grad_cam kpca_cam full_grad score_cam ablation_cam
      occlusion rise sobol hsic xrai extremal_perturbation)
features=(feature_ablation shapley_sampling kernel_shap lime)

explain all --method "${pixels[@]}" "${maps[@]}"
explain features --method "${features[@]}" --segments slic:40
explain exact --method shapley_exact
explain early --method hires_cam layer_cam --layer features.8

cp "$work/all/input.png" "$pictures/input.png"
for method in "${pixels[@]}"; do cp "$work/all/${method}_abs_grayscale.png" "$pictures/$method.png"; done
for method in "${maps[@]}"; do cp "$work/all/${method}_overlay.png" "$pictures/$method.png"; done
for method in "${features[@]}"; do cp "$work/features/${method}_overlay.png" "$pictures/$method.png"; done
cp "$work/exact/shapley_exact_overlay.png" "$pictures/shapley_exact.png"
for method in hires_cam layer_cam; do cp "$work/early/${method}_overlay.png" "$pictures/${method}_features.8.png"; done

for picture in "$pictures"/*.png; do
  (($(wc -c < "$picture") < 60000)) || { echo "$picture is above 60 KB" >&2; exit 1; }
done
echo "$pictures: $(ls "$pictures" | wc -l) pictures"

if [[ -n "${TOKENS:-}" ]]; then
  tokens="$(realpath "$TOKENS")" root="$PWD"
  (cd "$work" && ln -s "$root/examples" examples && OMP_NUM_THREADS=1 "$tokens" > tokens.log)
  cp "$work/tokens.png" docs/images/tokens.png
fi

program="$(command -v chromium || true)"
if [[ -z $program ]]; then
  echo "docs/images/report.png is left as it is: there is no chromium" >&2
  exit
fi
explain report --method smooth_grad integrated_gradients guided_backprop grad_cam --tolerance 0.01 --samples 200 \
  --report "$work/report.html"
# Root has no sandbox. Virtual time lets the page's script finish first.
"$program" --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/chromium" \
  --virtual-time-budget=10000 --window-size=1280,1450 --screenshot=docs/images/report.png \
  "file://$work/report.html" 2> "$work/chromium.log"
echo docs/images/report.png
