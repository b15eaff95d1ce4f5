// Every class of the library by its name alone: for headers that only name them. Costs nothing to compile.
//
// Left out is what cannot be declared without its header: aliases (Heatmap, Labels), concepts, and
// FixedTarget, whose parameter is constrained by one. Templates stand without their default arguments, since
// a program may give these only once and the headers of the templates do: before those are seen, write every
// argument, GradientAttributor<ScriptModel, PlainGradient>.
#pragma once

/// What a neural network looked at: gradients of a chosen output with respect to the input, and the pictures
/// that they become.
namespace salience {

// error.hpp
class Error;
class ArgumentError;
class FileError;
class ModelError;
class TargetError;

// picture/
class Image;
class Colormap;
struct LoadOptions;
struct SaveOptions;
enum class ResizeOrder;
struct ContactSheetCell;
struct ContactSheetOptions;
struct Segments;
struct SlicOptions;
struct FelzenszwalbOptions;
struct QuickshiftOptions;

// input/
struct Resize;
struct CenterCrop;
struct ToTensor;
struct Normalize;
template <class... Steps>
class Preprocessor;

// model/
enum class ChannelAxis;
struct Tapped;
struct Layer;
class LayerNames;
struct LayerPoint;
class LayerPoints;
class Parts;
template <class Features, class Head>
class FeaturesHead;
template <class M>
class LastConvolution;
enum class Prepare;
struct Binding;
struct ExplainedInput;
struct ModelOptions;
enum class PassStage;
struct GraphPass;
class ExportedModel;
class GraphModel;
class ScriptModel;
class AnyModel;
enum class LinearKind;
enum class DeepLiftRule;
struct Composite;
namespace lrp {
struct Epsilon;
struct Gamma;
struct ZPlus;
struct AlphaBeta;
struct ZBox;
struct Flat;
struct WSquare;
struct Excitation;
}  // namespace lrp

// target/
enum class OutputType;
class ClassOutput;
struct Prediction;
struct ArgMax;
struct ClassIndex;
struct ClassName;
struct PerSample;
struct Logit;
struct Probability;
struct LogProbability;
template <class Choice, class Score>
class TargetSelector;
class Neuron;
class SegmentationTarget;
struct DetectionLayout;
class DetectionTarget;
class AnyTarget;

// method/
struct Explained;
enum class ValuesOf;
struct Attribution;
struct Figure;
struct Progress;
struct PlainGradient;
struct GuidedRule;
struct DeconvnetRule;
template <class M, class Rule>
class GradientAttributor;
template <class M>
class InputXGradient;
template <class M>
class GuidedBackprop;
template <class M>
class Deconvnet;
enum class SmoothGradType;
enum class NoiseScale;
struct RecordedPass;
struct Variant;
struct Evaluated;
class Stream;
class SharedNoise;
struct SmoothGradOptions;
template <class A>
class SmoothGrad;
class Baseline;
struct StraightPath;
struct BlurPath;
struct GuidedPath;
enum class Quadrature;
struct IntegratedGradientsOptions;
template <class M, class P>
class IntegratedGradients;
struct IdgiOptions;
template <class M, class P>
class Idgi;
struct GradientShapOptions;
template <class M>
class GradientShap;
template <class M>
class LayerGradientShap;
struct DeepLiftOptions;
template <class M>
class DeepLift;
struct DeepLiftShapOptions;
template <class M>
class DeepLiftShap;
template <class M>
class Lrp;
template <class M>
class FullGrad;
struct AttentionOptions;
template <class M>
class AttentionRollout;
struct CheferOptions;
template <class M>
class Chefer;
struct OcclusionOptions;
template <class M>
class Occlusion;
struct FeatureAblationOptions;
template <class M>
class FeatureAblation;
class FeatureMask;
struct FeaturePermutationOptions;
template <class M>
class FeaturePermutation;
struct ShapleySamplingOptions;
template <class M>
class ShapleySampling;
struct ShapleyExactOptions;
template <class M>
class ShapleyExact;
struct KernelShapOptions;
template <class M>
class KernelShap;
struct XraiOptions;
template <class A>
class Xrai;
enum class ExtremalVariant;
struct ExtremalPerturbationOptions;
template <class M>
class ExtremalPerturbation;
enum class LimeFit;
enum class LimeDistance;
struct LimeOptions;
template <class M>
class Lime;
struct RiseOptions;
template <class M>
class Rise;
struct SobolOptions;
template <class M>
class Sobol;
struct HsicOptions;
template <class M>
class Hsic;
struct InternalInfluenceOptions;
template <class M>
class InternalInfluence;
struct LayerConductanceOptions;
template <class M>
class LayerConductance;
struct LayerOptions;
template <class M>
class LayerActivation;
template <class M>
class LayerGradient;
template <class M>
class LayerGradXActivation;
struct Tokens;
struct ChannelsLast;
struct ChannelsFirst;
struct CamOptions;
struct MeanGradient;
struct PlusPlus;
struct Elementwise;
struct NormalisedActivation;
struct PositiveGradient;
struct FirstComponent;
struct FirstGradientComponent;
struct FirstKernelComponent;
template <class M, class Weighting>
class ClassActivationMap;
template <class M>
class GradCam;
template <class M>
class GradCamPlusPlus;
template <class M>
class HiResCam;
template <class M>
class XGradCam;
template <class M>
class LayerCam;
template <class M>
class EigenCam;
template <class M>
class EigenGradCam;
template <class M>
class KpcaCam;
struct ScoreCamOptions;
template <class M>
class ScoreCam;
struct AblationCamOptions;
template <class M>
class AblationCam;
template <class M>
class GuidedGradCam;
class Explanation;
class AnyAttributor;
struct MethodOptions;
struct MethodEntry;

// view/
enum class NonFinite;
enum class Activation;
enum class ChannelReduction;
struct ValueRange;
struct AttributionProcessorOptions;
template <class First>
class AttributionProcessor;
struct SignalPlotOptions;
struct VolumeSlicesOptions;
struct TokenViewOptions;

// metric/
struct PixelMapOptions;
struct PerturbationCurve;
struct DeletionOptions;
template <class M>
class Deletion;
struct InsertionOptions;
template <class M>
class Insertion;
struct Predicted;
struct RoadOptions;
struct RoadCurves;
template <class M>
class Road;
struct InfidelityOptions;
template <class M>
class Infidelity;
struct MaxSensitivityOptions;
struct Sensitivity;
template <class A>
class MaxSensitivity;
struct CompletenessOptions;
struct CompletenessError;
template <class M>
class Completeness;
struct ConfidenceOptions;
struct ConfidenceChange;
template <class M>
class Confidence;
struct Box;
class Region;
struct PointingGameOptions;
struct IouOptions;
struct RandomizationSimilarity;
template <class A, class Randomized>
class RandomizationCheck;
enum class RandomizationOrder;
struct RandomizedModelOptions;
class RandomizedModel;

}  // namespace salience
