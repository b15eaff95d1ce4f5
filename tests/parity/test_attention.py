"""Attention rollout and Chefer's relevance against straight forms of the papers' formulas, on vision transformers whose attention
is one operator, open, or nn.MultiheadAttention's."""

import contextlib
import unittest

import torch
from networks import CLASSES, picture
from peers import relative  # before timm: it mends torchvision
from test_relevance import PEER, RelevanceCase, frozen
from timm.models.deit import VisionTransformerDistilled
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn import functional
from torchvision import models

SIZE = (32, 32)
GRID = (4, 4)
TARGET = 3


@contextlib.contextmanager
def opened(weights):
    """Appends to `weights` what each attention in here weighs its values by, with its gradient to be kept."""
    one_operator = functional.scaled_dot_product_attention

    def attention(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
        assert not dropout_p and not is_causal and not enable_gqa
        scores = q @ k.transpose(-2, -1) * (q.shape[-1] ** -0.5 if scale is None else scale)
        a = (scores if attn_mask is None else scores + attn_mask).softmax(-1)
        a.retain_grad()
        weights.append(a)
        return a @ v

    functional.scaled_dot_product_attention = attention
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = one_operator


def straight(model, x, leading):
    """Both methods' maps (1,1,H,W), by the formulas as they stand: products of whole matrices, from the first layer on."""
    weights = []
    with opened(weights):
        model(x.clone().requires_grad_())[0, TARGET].backward()
    identity = torch.eye(weights[0].shape[-1], dtype=x.dtype)
    rolled, relevance = identity, identity
    for a in weights:
        mixed = a.detach().mean(1)[0] + identity
        rolled = (mixed / mixed.sum(-1, keepdim=True)) @ rolled
        relevance = relevance + (a.grad * a.detach()).clamp(min=0).mean(1)[0] @ relevance
    return {
        name: functional.interpolate(product[0, leading:].reshape(1, 1, *GRID), size=SIZE, mode="bilinear", align_corners=False)
        for name, product in (("attention_rollout", rolled), ("chefer", relevance))
    }


def small(kind=VisionTransformer, **options):
    return kind(img_size=SIZE, patch_size=8, embed_dim=24, depth=3, num_heads=3, num_classes=CLASSES, **options)


def lively(model):
    """In float64, with queries and keys that attend to something: as they are initialised, each token looks at all others."""
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 and ("qkv" in name or "in_proj" in name):
            nn.init.normal_(parameter, std=0.5)
        elif not parameter.any():
            nn.init.normal_(parameter, std=0.2)
    return frozen(model)


class Attention(RelevanceCase):
    def compare_maps(self, title, model, leading):
        x = picture(size=SIZE)
        truth = straight(model, x, leading)
        for kind, prepare, path in self.files(model, x):
            ours, _ = self.ours(path, list(truth), "--prepare", prepare, "--target", TARGET, size=SIZE)
            for method, values in truth.items():
                error = relative(ours[method], values)
                print(f"{title}, {kind}: {method} {error:.1e}")
                with self.subTest(f"{title}, {kind}: {method}"):
                    self.assertGreater(float(values.std() / values.mean()), 0.02)
                    self.assertLess(error, PEER)

    def test_attention_in_one_operator(self):
        self.compare_maps("one operator", lively(small()), 1)

    def test_open_attention(self):
        model = lively(small())
        for block in model.blocks:
            block.attn.fused_attn = False
        x = picture(size=SIZE)
        weights = []
        with opened(weights):
            model(x)
        self.assertEqual(weights, [])
        for block in model.blocks:  # the straight form reads the other
            block.attn.fused_attn = True
        truth = straight(model, x, 1)
        for block in model.blocks:
            block.attn.fused_attn = False
        for kind, prepare, path in self.files(model, x):
            ours, _ = self.ours(path, list(truth), "--prepare", prepare, "--target", TARGET, size=SIZE)
            for method, values in truth.items():
                self.assertLess(relative(ours[method], values), PEER, f"{kind}: {method}")

    def test_a_distillation_token(self):
        self.compare_maps("a distillation token", lively(small(VisionTransformerDistilled)), 2)

    def test_registers(self):
        self.compare_maps("registers", lively(small(reg_tokens=4, class_token=True)), 5)

    def test_multihead_attention(self):
        model = models.VisionTransformer(image_size=32, patch_size=8, num_layers=3, num_heads=3, hidden_dim=24, mlp_dim=48,
                                         num_classes=CLASSES)
        self.compare_maps("nn.MultiheadAttention", lively(model), 1)

    def test_without_a_class_token(self):
        self.refused(small(class_token=False, global_pool="avg"), "the attention has no class token")

    def test_a_class_token_that_is_not_read(self):
        model = lively(small(class_token=True, global_pool="avg"))
        for kind, _, path in self.files(model, picture(size=SIZE)):
            done = self.start(path, ["chefer"], "--dtype", "float64", size=SIZE)
            self.assertEqual(done.returncode, 1, f"{kind}: {done.stderr}")
            self.assertIn("the score does not depend on the class token", done.stderr)

    def test_windows(self):
        model = SwinTransformer(img_size=SIZE, patch_size=4, window_size=4, embed_dim=12, depths=(2, 2),
                                num_heads=(2, 2), num_classes=CLASSES)
        self.refused(model, "cannot where attention is in windows")

    def test_no_attention(self):
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES),
                              nn.Softmax(1))
        self.refused(model, "the model has no attention")

    def test_weights_that_are_changed(self):
        class TalkingHeads(nn.Module):
            def __init__(self):
                super().__init__()
                self.q, self.mix, self.head = nn.Linear(48, 24), nn.Linear(3, 3), nn.Linear(24, CLASSES)

            def forward(self, x):
                tokens = x.unfold(2, 8, 8).unfold(3, 8, 8)[:, :, :, :, 0, ::1].flatten(4).permute(0, 2, 3, 1, 4)
                tokens = self.q(functional.pad(tokens.flatten(3), (0, 24)).flatten(1, 2))
                q = tokens.unflatten(2, (3, 8)).transpose(1, 2)
                a = self.mix((q @ q.transpose(-2, -1)).softmax(-1).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
                return self.head((a @ q).transpose(1, 2).flatten(2)[:, 0])

        self.refused(TalkingHeads(), "changed before they are applied")

    def refused(self, model, sentence):
        for kind, _, path in self.files(frozen(model), picture(size=SIZE)):
            if kind == "scripted":  # the same graph as traced; timm's Swin cannot be
                continue
            for method in ("attention_rollout", "chefer"):
                done = self.start(path, [method], "--dtype", "float64", size=SIZE)
                self.assertEqual(done.returncode, 1, f"{kind}: {done.stderr}")
                self.assertIn(sentence, done.stderr)


if __name__ == "__main__":
    unittest.main()
