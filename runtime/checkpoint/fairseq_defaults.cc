#include "runtime/checkpoint/fairseq_defaults.h"

#include <sstream>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

/// What fairseq's branch "moe" stores when nothing is asked for: sections and their settings, but
/// for those that every model sets.
constexpr const char kDefaults[] = R"(
[common]
_name=None no_progress_bar=False log_interval=100 log_format=None log_file=None
tensorboard_logdir=None wandb_project=None azureml_logging=False seed=1 cpu=False tpu=False
memory_efficient_bf16=False fp16_no_flatten_grads=False fp16_init_scale=128 fp16_scale_window=None
fp16_scale_tolerance=0.0 min_loss_scale=0.0001 threshold_loss_scale=None user_dir=None
empty_cache_freq=0 all_gather_list_size=16384 model_parallel_size=1 quantization_config_path=None
profile=False reset_logging=False suppress_crashes=False use_plasma_view=False plasma_path=''
log_nvidia_smi=False
[common_eval]
_name=None path=None post_process=None quiet=False model_overrides='{}' results_path=None
is_moe=False
[distributed_training]
_name=None distributed_world_size=1 distributed_rank=0 distributed_backend='nccl'
distributed_init_method=None distributed_port=-1 device_id=0 distributed_no_spawn=False
ddp_backend='pytorch_ddp' bucket_cap_mb=25 fix_batches_to_gpus=False find_unused_parameters=False
fast_stat_sync=False heartbeat_timeout=-1 broadcast_buffers=False slowmo_momentum=None
slowmo_algorithm='LocalSGD' localsgd_frequency=3 nprocs_per_node=1 pipeline_model_parallel=False
pipeline_balance=None pipeline_devices=None pipeline_chunks=0 pipeline_encoder_balance=None
pipeline_encoder_devices=None pipeline_decoder_balance=None pipeline_decoder_devices=None
pipeline_checkpoint='never' zero_sharding='none' tpu=False no_reshard_after_forward=False
fp32_reduce_scatter=False cpu_offload=False use_sharded_state=False
[dataset]
_name=None num_workers=1 num_workers_valid=0 skip_invalid_size_inputs_valid_test=False
max_tokens=None batch_size=4 required_batch_size_multiple=8 required_seq_len_multiple=1
dataset_impl=None data_buffer_size=10 train_subset='train' valid_subset='valid'
combine_valid_subsets=None ignore_unused_valid_subsets=False validate_interval=1
validate_interval_updates=0 validate_after_updates=0 fixed_validation_seed=None
disable_validation=False max_tokens_valid=None batch_size_valid=4 max_valid_steps=None
curriculum=0 gen_subset='test' num_shards=1 shard_id=0
[optimization]
_name=None max_epoch=0 max_update=0 stop_time_hours=0.0 clip_norm=0.0 sentence_avg=False
update_freq=[1] lr=[0.001] stop_min_lr=-1.0 use_bmuf=False
[checkpoint]
_name=None save_dir='checkpoints' restore_file='checkpoint_last.pt' finetune_from_model=None
reset_dataloader=False reset_lr_scheduler=False reset_meters=False reset_optimizer=False
optimizer_overrides='{}' save_interval=1 save_interval_updates=0 keep_interval_updates=-1
keep_last_epochs=-1 keep_best_checkpoints=-1 no_save=False no_epoch_checkpoints=False
no_last_checkpoints=False no_best_checkpoints=False no_save_optimizer_state=False
no_save_optimizer_state_on_training_finished=False symlink_best_and_last_checkpoints=False
best_checkpoint_metric='loss' maximize_best_checkpoint_metric=False patience=-1
checkpoint_suffix='' checkpoint_shard_count=1 load_checkpoint_on_all_dp_ranks=False
write_checkpoints_asynchronously=False s3_upload_path=None model_parallel_size=1
[bmuf]
_name=None block_lr=1.0 block_momentum=0.875 global_sync_iter=50 warmup_iterations=500
use_nbm=False average_sync=False distributed_world_size=1
[generation]
_name=None beam=5 nbest=1 max_len_a=0.0 max_len_b=200 min_len=1 match_source_len=False
unnormalized=False no_early_stop=False no_beamable_mm=False lenpen=1.0 unkpen=0.0 replace_unk=None
sacrebleu=False score_reference=False prefix_size=0 no_repeat_ngram_size=0 sampling=False
sampling_topk=-1 sampling_topp=-1.0 constraints=None temperature=1.0 diverse_beam_groups=-1
diverse_beam_strength=0.5 diversity_rate=-1.0 print_alignment=None print_step=False lm_path=None
lm_weight=0.0 iter_decode_eos_penalty=0.0 iter_decode_max_iter=10 iter_decode_force_max_iter=False
iter_decode_with_beam=1 iter_decode_with_external_reranker=False retain_iter_history=False
retain_dropout=False retain_dropout_modules=None decoding_format=None no_seed_provided=False
[eval_lm]
_name=None output_word_probs=False output_word_stats=False context_window=0
softmax_batch=9223372036854775807 stats_path=None max_valid_steps=None
[interactive]
_name=None buffer_size=0 input='-'
[model]
dropout=0.0 attention_dropout=0.0 activation_dropout=0.0 relu_dropout=0.0
adaptive_softmax_cutoff=None adaptive_softmax_dropout=0.0 adaptive_softmax_factor=4.0
no_token_positional_embeddings=False character_embeddings=False
character_filters='[(1,64),(2,128),(3,192),(4,256),(5,256),(6,256),(7,256)]'
character_embedding_dim=4 char_embedder_highway_layers=2 adaptive_input=False
adaptive_input_factor=4.0 adaptive_input_cutoff=None tie_adaptive_weights=False
tie_adaptive_proj=False layernorm_embedding=False checkpoint_activations=False
offload_activations=False decoder_layerdrop=0.0 decoder_layers_to_keep=None quant_noise_pq=0.0
quant_noise_pq_block_size=8 quant_noise_scalar=0.0 min_params_to_wrap=100000000
alternate_decoder_ffn_embed_dim=0 moe_gating_use_fp32=True moe_second_expert_policy='all'
moe_normalize_gate_prob_before_dropping=False moe_expert_ffn_dim=None moe_top1_expert=False
moe_eval_capacity_token_fraction=0.25 moe_normalize_expert_grad='world_size'
use_moe_pad_mask=False record_a2a_perf_stats=False dummy_a2a=False
moe_batch_prioritized_routing=False use_stable_embedding=False base_layers=0 base_sublayers=1
base_shuffle=0 tpu=False fp16_no_flatten_grads=False ddp_backend='pytorch_ddp' world_size=1
distributed_rank=0 batch_size=4 batch_size_valid=4
[task]
_name='language_modeling' data='' sample_break_mode='none' output_dictionary_size=-1
self_target=False future_target=False past_target=False max_source_positions=None
shorten_method='none' shorten_data_split_list='' pad_to_fixed_length=False pad_to_fixed_bsz=False
seed=1 batch_size=4 batch_size_valid=4 dataset_impl=None data_buffer_size=10 tpu=False
use_plasma_view=False plasma_path=''
[criterion]
_name='moe_cross_entropy' moe_gate_loss_wt=0.01 moe_gate_loss_combine_method='average'
moe_gate_loss_transform='none' sentence_avg=False
[optimizer]
_name='adam' adam_betas='(0.9,0.999)' adam_eps=1e-08 weight_decay=0.0 use_old_adam=False
fp16_adam_stats=False tpu=False lr=[0.001] block_wise=False
[lr_scheduler]
_name='fixed' force_anneal=None lr_shrink=0.1 warmup_updates=0 lr=[0.001]
[scoring]
_name='bleu' pad=1 eos=2 unk=3
)";

}  // namespace

const FairseqSettings& fairseq_default_settings() {
  static const FairseqSettings kSettings = [] {
    // The sections that fairseq stores as None.
    FairseqSettings settings = {
        {"_name", "None"}, {"bpe", "None"}, {"tokenizer", "None"}, {"simul_type", "None"}};
    std::istringstream words(kDefaults);
    std::string section;
    for (std::string word; words >> word;) {
      if (word.front() == '[') {
        section = word.substr(1, word.size() - 2);
        continue;
      }
      const size_t equals = word.find('=');
      SWITCHYARD_CHECK(equals != std::string::npos, word);
      settings[concat(section, ".", word.substr(0, equals))] = word.substr(equals + 1);
    }
    return settings;
  }();
  return kSettings;
}

}  // namespace switchyard
