// The whole library, in the order in which the data pass through it.
//
//   file --load_image--> Image --Preprocessor--> input tensor (N,C,H,W)
//     --model--> logits --TargetSelector--> score per sample
//     --gradient at input--> Attribution{values, and what is explained: target, score, logits}
//     --AttributionProcessor--> Image --save_image / contact_sheet--> what a person looks at
//
// To compile less, include only the headers you name things from: docs/architecture.md has their cost.
#pragma once

// The order is the message.
// clang-format off
#include <salience/version.hpp>
#include <salience/error.hpp>
#include <salience/file.hpp>

#include <salience/picture/image.hpp>
#if __has_include(<stb/stb_image.h>) || __has_include(<stb_image.h>)
#include <salience/picture/image_io.hpp>
#endif
#include <salience/picture/resize.hpp>
#include <salience/picture/segments.hpp>
#include <salience/picture/slic.hpp>
#include <salience/picture/felzenszwalb.hpp>
#include <salience/picture/quickshift.hpp>
#include <salience/picture/heatmap.hpp>
#include <salience/picture/colormap.hpp>
#include <salience/picture/overlay.hpp>
#if __has_include(<stb/stb_easy_font.h>) || __has_include(<stb_easy_font.h>)
#include <salience/picture/contact_sheet.hpp>
#endif

#include <salience/io/npy.hpp>
#include <salience/io/pt.hpp>

#include <salience/input/preprocessor.hpp>
#include <salience/input/superpixels.hpp>

#include <salience/model/concepts.hpp>
#include <salience/model/layered_model.hpp>
#include <salience/model/cuttable_model.hpp>
#include <salience/model/features_head.hpp>
#include <salience/model/last_convolution.hpp>
#include <salience/model/model_options.hpp>
#include <salience/model/graph_pass.hpp>
#include <salience/model/graph_model.hpp>
#include <salience/model/script_model.hpp>
#if __has_include(<nlohmann/json.hpp>)  // torch.export programs are JSON
#include <salience/model/exported_model.hpp>
#include <salience/model/load_model.hpp>
#endif
#include <salience/model/any_model.hpp>

#include <salience/target/class_output.hpp>
#include <salience/target/prediction.hpp>
#include <salience/target/target_choice.hpp>
#include <salience/target/class_score.hpp>
#include <salience/target/target_selector.hpp>
#include <salience/target/neuron.hpp>
#include <salience/target/segmentation_target.hpp>
#include <salience/target/detection_target.hpp>
#include <salience/target/any_target.hpp>

#include <salience/method/attribution.hpp>
#include <salience/method/any_attributor.hpp>
#include <salience/method/entry.hpp>
#include <salience/method/recorded_pass.hpp>
#include <salience/method/streaming.hpp>
#include <salience/method/noise.hpp>
#include <salience/method/variant_scores.hpp>
#include <salience/method/layer_attribution.hpp>
#include <salience/method/internal_influence.hpp>
#include <salience/method/layer_conductance.hpp>
#include <salience/method/gradient_shap.hpp>
#include <salience/method/occlusion.hpp>
#include <salience/method/feature_ablation.hpp>
#include <salience/method/feature_permutation.hpp>
#include <salience/method/shapley_sampling.hpp>
#include <salience/method/shapley_exact.hpp>
#include <salience/method/kernel_shap.hpp>
#include <salience/method/lime.hpp>
#include <salience/method/rise.hpp>
#include <salience/method/sobol.hpp>
#include <salience/method/hsic.hpp>
#include <salience/method/token_grid.hpp>
#include <salience/method/score_cam.hpp>
#include <salience/method/ablation_cam.hpp>
#include <salience/method/backward_rule.hpp>
#include <salience/method/explanation.hpp>
#include <salience/method/registry.hpp>  // and with it every method that gives a map of the input

#include <salience/view/attribution_options.hpp>
#include <salience/view/attribution_processor.hpp>
#include <salience/view/signal_plot.hpp>
#include <salience/view/volume_slices.hpp>
#include <salience/view/token_html.hpp>
#if __has_include(<stb/stb_easy_font.h>) || __has_include(<stb_easy_font.h>)
#include <salience/view/volume_sheet.hpp>
#include <salience/view/token_picture.hpp>
#endif

#include <salience/metric/pixel_map.hpp>
#include <salience/metric/deletion_insertion.hpp>
#include <salience/metric/road.hpp>
#include <salience/metric/infidelity.hpp>
#include <salience/metric/sensitivity.hpp>
#include <salience/metric/completeness.hpp>
#include <salience/metric/confidence.hpp>
#include <salience/metric/localisation.hpp>
#include <salience/metric/complexity.hpp>
#include <salience/metric/similarity.hpp>
#include <salience/metric/randomization.hpp>
#include <salience/metric/randomized_model.hpp>
